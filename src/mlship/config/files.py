"""The files that mlship.toml names: are they there? And which interpreter is the project's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlship.config.project import Project
from mlship.errors import ConfigError


def check_files(project: Project) -> None:
    """Raises ConfigError, with the line, for the first named file that is not there."""
    interpreter(project)
    if project.model.file is not None and not (project.root / project.model.file / "MLmodel").is_file():
        _need(project, project.model.file, "model", "source")
    if not project.golden.synthetic:
        _need(project, project.golden.source, "golden", "from")
    if project.reduction is not None:
        if project.reduction.module is not None:
            _need_module(project, project.reduction.module)
        if project.reduction.graph is not None:
            _need(project, project.reduction.graph, "reduction", "graph")
        for pattern in project.reduction.include:
            if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise project.error(
                    "reduction", "include", what=f"leaves the project's folder with {pattern!r}"
                )
            if not any(project.root.glob(pattern)):
                raise project.error("reduction", "include", what=f"names {pattern!r}, which matches no file")


def named_files(project: Project) -> tuple[str, ...]:
    """The files that a build reads, as mlship.toml names them; neither modules nor what a step includes."""
    names = [project.model.file, project.bundle.card]
    names.append(project.reduction.graph if project.reduction else None)
    names.append(None if project.golden.synthetic else project.golden.source)
    return tuple(name for name in names if name)


def interpreter(project: Project | None) -> Path:
    """The interpreter in which the project's code and model are loaded.

    [project] python, else MLSHIP_PYTHON, else the active virtual environment, else the one mlship runs in.
    The path is not resolved: a virtual environment is found through its own link.
    """
    if project is not None and project.project.python is not None:
        path = project.root / Path(project.project.python).expanduser()
        if not _runs(path):
            raise project.error(
                "project", "python", what=f"names {project.project.python!r}, which is no program"
            )
        return path
    if named := os.environ.get("MLSHIP_PYTHON"):
        path = Path(named).expanduser().absolute()
        if not _runs(path):
            raise ConfigError(f"MLSHIP_PYTHON names {named!r}, which is no program")
        return path
    if active := os.environ.get("VIRTUAL_ENV"):
        path = Path(active) / "bin" / "python"
        if _runs(path):
            return path
    return Path(sys.executable)


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _need(project: Project, name: str, *key: str) -> None:
    path = project.root / name
    if path.is_file():
        return
    what = f"names {name!r}, which is {'not a file' if path.exists() else 'not there'}"
    raise project.error(*key, what=what, fix=f"The path is relative to {project.file.name}")


def _need_module(project: Project, module: str) -> None:
    path = project.root.joinpath(*module.split("."))
    if not path.with_name(path.name + ".py").is_file() and not (path / "__init__.py").is_file():
        wanted = module.replace(".", "/") + ".py"
        raise project.error("reduction", "step", what=f"needs {wanted}, which is not there")
