"""Which files of the project a reduction step needs: modules that were imported, that are imported late, and
the files that [reduction] include names."""

from __future__ import annotations

import ast
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

from .failure import Failure


def loaded() -> set[str]:
    """The names of the modules that are loaded now."""
    return set(sys.modules)


def is_of_project(module: ModuleType, root: Path) -> bool:
    """Whether `module` is a file of the project and not one of a package installed beneath it."""
    file = getattr(module, "__file__", None)
    if not file:
        return False
    path, home = Path(file).resolve(), root.resolve()
    if not path.is_relative_to(home) or "site-packages" in path.parts:
        return False
    prefix = Path(sys.prefix).resolve()
    return prefix == home or not (prefix.is_relative_to(home) and path.is_relative_to(prefix))


def collect(root: Path, before: set[str], include: list[str]) -> dict[str, str]:
    """Path in the layer -> file. A module lies where its name says, whatever folder of the project it is
    from."""
    found: dict[str, Path] = {}
    folders = {root.resolve()}
    for name in sorted(set(sys.modules) - before):
        module = sys.modules[name]
        if is_of_project(module, root):
            path = Path(str(module.__file__)).resolve()
            place = _place(name, path)
            found[str(place)] = path
            folders.add(path.parents[len(place.parts) - 1])
    _add_late(found, folders)
    for path in _included(root, include):
        found[_shortest(path, folders)] = path
    return {name: str(path) for name, path in sorted(found.items())}


def named(root: Path, names: set[str]) -> dict[str, str]:
    """Path -> file of those of the loaded modules `names` that are the project's, and of what they import."""
    found: dict[str, Path] = {}
    folders: set[Path] = set()
    for name in sorted(names):
        module = sys.modules.get(name)
        if module is None or not is_of_project(module, root):
            continue
        path = Path(str(module.__file__)).resolve()
        place = _place(name, path)
        found[str(place)] = path
        folder = path.parents[len(place.parts) - 1]
        folders.add(folder)
        found |= dict(_files_of(name, {folder}))
    _add_late(found, folders)
    return {name: str(path) for name, path in sorted(found.items())}


def _place(name: str, path: Path) -> PurePosixPath:
    if path.suffix != ".py":
        raise Failure(
            f"the reduction or the model needs {path.name}, which is compiled",
            fix="Build a wheel of it and name it in [runtime] requirements",
        )
    parts = name.split(".")
    return (
        PurePosixPath(*parts, "__init__.py")
        if path.name == "__init__.py"
        else PurePosixPath(*parts[:-1], path.name)
    )


def _add_late(found: dict[str, Path], folders: set[Path]) -> None:
    """Follow the import statements of what was found, also those inside of functions that did not run."""
    waiting = list(found)
    while waiting:
        place = PurePosixPath(waiting.pop())
        for name in _imported(found[str(place)], place):
            for late, path in _files_of(name, folders):
                if late not in found:
                    found[late] = path
                    waiting.append(late)


def _imported(path: Path, place: PurePosixPath) -> set[str]:
    """The dotted names that a module imports, absolute."""
    package = list(place.parts[:-1])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, node.module] if node.module else above)
            names.add(start)
            names.update(f"{start}.{alias.name}" if start else alias.name for alias in node.names)
    return names - {""}


def _files_of(name: str, folders: set[Path]) -> list[tuple[str, Path]]:
    """The files of the project that importing `name` would read: its own and its packages'."""
    parts, found = name.split("."), []
    for folder in sorted(folders):
        for length in range(1, len(parts) + 1):
            stem = PurePosixPath(*parts[:length])
            for place in (stem / "__init__.py", stem.with_name(stem.name + ".py")):
                if (folder / place).is_file():
                    found.append((str(place), (folder / place).resolve()))
                    break
    return found


def _included(root: Path, patterns: list[str]) -> list[Path]:
    home, found = root.resolve(), set()
    for pattern in patterns:
        files = {
            path.resolve()
            for path in root.glob(pattern)
            if path.is_file() and "__pycache__" not in path.parts
        }
        if not files:
            raise Failure(f"[reduction] include names {pattern!r}, which matches no file")
        found |= files
    for path in found:
        if not path.is_relative_to(home):
            raise Failure(f"[reduction] include names {path.name}, which lies outside the project")
    return sorted(found)


def _shortest(path: Path, folders: set[Path]) -> str:
    """The path relative to the innermost folder that modules are from, so that it lies beside them as
    before."""
    inside = [path.relative_to(folder).as_posix() for folder in folders if path.is_relative_to(folder)]
    return min(inside, key=len)
