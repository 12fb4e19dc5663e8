"""The files of a project whose model is in memory: mlship.toml, the model and its rows.

mlship.toml is written once and then belongs to its reader. The other two are replaced by each build, but only
where the last one wrote them: the digests of what was written are kept in the project's state.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlship.api.frames import rows_file
from mlship.api.objects import model_file
from mlship.config.load import load_project
from mlship.config.project import STATE_NAME, Project
from mlship.digest import sha256
from mlship.errors import ConfigError, UsageError
from mlship.progress import Progress
from mlship.reference import check_name, check_tag
from mlship.result import to_json
from mlship_runtime.files import make_folder, read_numbered, write_atomic

_Form = Callable[[Any], tuple[str, bytes]]
_RECORD = "written.json"
_READABLE = 0o644


@dataclass
class ProjectFiles:
    """What a build is given; `root` is the folder of the project, or where it shall be."""

    root: Path
    progress: Progress
    model: object = None
    examples: object = None
    name: str = ""
    version: str = ""
    replace: bool = False
    _before: dict[Path, bytes | None] = field(default_factory=dict)

    @contextmanager
    def settled(self, project: Project | None) -> Iterator[Project]:
        """The project with these files in it; a project that was there gets its own back if the block fails.

        Raises UsageError for what cannot be rows or a project, and for files that somebody else wrote;
        BuildError for a model that cannot be saved.
        """
        if self.name:
            check_name(self.name)
        if self.version:
            check_tag(self.version)
        try:
            found = self._begin() if project is None else self._change(project)
            if project is None:
                self._before.clear()  # what begins a project stays: mlship.toml may be what has to be mended
            yield found
        except BaseException:
            self._undo()
            raise

    def _change(self, project: Project) -> Project:
        text = _with_version(project, self.version or project.project.version)
        if self.name and self.name != project.project.name:
            raise UsageError(
                f"this project is called {project.project.name}, not {self.name}",
                fix="Change name under [project] in mlship.toml, or give another folder",
            )
        model = self._file(self.model, model_file, "model", project.model.source, "[model] source")
        rows = self._file(self.examples, rows_file, "examples", project.golden.source, "[golden] from")
        self._write(model, rows)
        if text is not None:
            self._put(project.file, text)
        return self._here(load_project(self.root))

    def _begin(self) -> Project:
        """A new project, or nothing."""
        from mlship.ops.init import init_for_model

        if self.model is None or self.examples is None:
            raise UsageError(
                "there is no mlship.toml here, and a new project needs a model and rows that it reads",
                fix="mlship.build(model, examples=frame)",
            )
        model = self._file(self.model, model_file, "model")
        rows = self._file(self.examples, rows_file, "examples")
        self._write(model, rows)
        init_for_model(
            self.root,
            model=model[0],
            examples=rows[0],
            name=self.name,
            version=self.version,
            progress=self.progress,
            python=_python(),
        )
        return self._here(load_project(self.root))

    def _file(
        self, given: object, form: _Form, stem: str, named: str | None = None, where: str = ""
    ) -> tuple[Path, bytes | None]:
        """The path of a file and its content (None: it stays as it is). `named` is what mlship.toml says."""
        if given is None:
            return self.root / (named or ""), None
        if isinstance(given, (str, os.PathLike)):
            path, content = Path(given), None
        else:
            suffix, content = form(given)
            path = self.root / f"{stem}{suffix}"
        if named is not None and (self.root / named).resolve() != path.resolve():
            raise UsageError(
                f"mlship.toml has {where} = {named!r}, and this would be {path.name}",
                fix=f'Write "{path.name}" there, or leave {stem} out to build from what it says',
            )
        return path, content

    def _write(self, *files: tuple[Path, bytes | None]) -> None:
        """All of them, if each may be written."""
        record = self.root / STATE_NAME / _RECORD
        known: dict[str, str] = dict((read_numbered(record) or {}).get("files", {}))
        changed = [(path, data) for path, data in files if data is not None and _differs(path, data)]
        for path, _ in changed:
            if path.exists() and not self.replace and known.get(path.name) != sha256(path.read_bytes()):
                raise UsageError(
                    f"{path} is there, and the last build here did not write it",
                    fix="Move it away, or call build with replace=True",
                )
        try:
            for path, content in changed:
                self._put(path, content)
                known[path.name] = sha256(content)
            if changed:
                self._put(record, to_json({"schemaVersion": 1, "files": known}))
        except OSError as error:
            raise ConfigError(f"{self.root} cannot be written", cause=error.strerror or str(error)) from error

    def _put(self, path: Path, content: bytes) -> None:
        self._before.setdefault(path, path.read_bytes() if path.exists() else None)
        make_folder(path.parent.absolute())
        write_atomic(path, content, _READABLE)

    def _undo(self) -> None:
        for path, content in self._before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                write_atomic(path, content, _READABLE)

    def _here(self, project: Project) -> Project:
        """Loaded by this interpreter, where the object comes from, unless the project names one."""
        if self.model is None or project.project.python is not None:
            return project
        section = msgspec.structs.replace(project.project, python=str(_python()))
        return msgspec.structs.replace(project, project=section)


def _python() -> Path:
    return Path(os.environ.get("MLSHIP_PYTHON") or sys.executable)


def _differs(path: Path, content: bytes) -> bool:
    with suppress(OSError):
        return path.read_bytes() != content
    return True


def _with_version(project: Project, version: str) -> bytes | None:
    """mlship.toml with the one line changed that says it; None if it says so already. Raises ConfigError if
    there is none of the usual form."""
    if version == project.project.version:
        return None
    lines = project.file.read_text(encoding="utf-8").splitlines(keepends=True)
    at = project.lines.get(("project", "version"), 0) - 1
    changed = re.sub(r'^(\s*version\s*=\s*)"[^"\\]*"', rf'\g<1>"{version}"', lines[at]) if at >= 0 else ""
    if at < 0 or changed == lines[at]:
        raise ConfigError(
            "mlship.toml does not say its version in one line",
            fix=f'Write version = "{version}" below [project]',
        )
    return "".join([*lines[:at], changed, *lines[at + 1 :]]).encode()
