"""Projects of KitOps: which of the files that a Kitfile names can become a bundle, and which cannot.

A Kitfile is read as plain YAML; `kit` is not needed. Source: KitOps, "Kitfile format" (manifestVersion 1.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlship.bundle.models import plain_yaml
from mlship.errors import BuildError

FILES = ("Kitfile", "kitfile", ".kitfile")
_ROWS = (".csv", ".npy")
_LISTS = ("code", "datasets", "docs", "prompts")
_KNOWN = {"manifestVersion", "package", "model", "models", *_LISTS}


@dataclass(frozen=True)
class Kit:
    """`name` and `version` are as the Kitfile says them, empty if it does not. `rows` are the data sets that
    can be examples; `left_out` says of everything else what it is and where."""

    name: str
    version: str
    model: Path
    rows: tuple[Path, ...]
    left_out: tuple[str, ...]


def kitfile_of(folder: Path) -> Path | None:
    """The Kitfile in `folder`, if it has one."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_kit(folder: Path) -> Kit:
    """What is in the project; raises BuildError that says why it cannot be taken."""
    file = kitfile_of(folder)
    if file is None:
        raise BuildError(f"{folder} has no Kitfile")
    try:
        document = plain_yaml.read(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, plain_yaml.NotPlain) as error:
        raise BuildError(f"{file.name} cannot be read", cause=str(error)) from error
    if not isinstance(document, dict) or "manifestVersion" not in document:
        raise BuildError(f"{file.name} has no manifestVersion", cause="it is not one of KitOps")
    package = _mapping(file, document, "package")
    model = _model(file, document)
    parts = _entries(file, model, "parts")
    listed = {kind: _entries(file, document, kind) for kind in _LISTS}
    places = [(kind, _place(file, kind, entry)) for kind in _LISTS for entry in listed[kind]]
    rows = tuple(path for kind, path in places if kind == "datasets" and _holds_rows(path))
    left_out = [
        *(f"model part {_name(part)}" for part in parts),
        *(f"{kind} {path.relative_to(folder)}" for kind, path in places if path not in rows),
        *(str(key) for key in document if key not in _KNOWN),
    ]
    return Kit(
        name=_text(package, "name"),
        version=_text(package, "version").removeprefix("v"),
        model=_there(file, model),
        rows=rows,
        left_out=tuple(left_out),
    )


def _model(file: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The only model; older Kitfiles list them."""
    models = _entries(file, document, "models")
    if document.get("model") is not None:
        models = [*models, _mapping(file, document, "model")]
    if len(models) != 1:
        raise BuildError(f"{file.name} names {len(models)} models and not one", fix="A bundle has one model")
    return models[0]


def _mapping(file: Path, document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise BuildError(f"{file.name}: {key} is not a mapping")
    return value or {}


def _entries(file: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BuildError(f"{file.name}: {key} is not a list of mappings")
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _name(part: dict[str, Any]) -> str:
    return _text(part, "path") or _text(part, "name") or "without a path"


def _place(file: Path, kind: str, entry: dict[str, Any]) -> Path:
    """Where the entry's `path` is, which must be in the folder of the Kitfile if it is anywhere."""
    name = _text(entry, "path")
    place = PurePosixPath(name)
    path = file.parent / place
    outside = not name or place.is_absolute() or ".." in place.parts or "\\" in name
    if outside or not path.resolve().is_relative_to(file.parent.resolve()):
        raise BuildError(f"{file.name}: {kind} names {name!r}, which is not in its folder")
    return path


def _there(file: Path, model: dict[str, Any]) -> Path:
    path = _place(file, "model", model)
    if not path.exists():
        raise BuildError(
            f"{file.name}: model names {model['path']!r}, which is not there", fix="Unpack it: kit unpack"
        )
    return path


def _holds_rows(path: Path) -> bool:
    return path.suffix in _ROWS and path.is_file()
