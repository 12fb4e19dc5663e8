"""Folders that MLflow wrote: which file is the model, and what its signature says of the columns.

`MLmodel` is read as plain YAML; MLflow is not imported, nor needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlship.bundle.models import plain_yaml
from mlship.bundle.rows.stated import with_inputs
from mlship.config import Project
from mlship.config.sections import ColumnSection, Datatype
from mlship.errors import BuildError
from mlship_runtime.bundle.spec import Spec

FILE = "MLmodel"
REGISTERED = "registered_model_meta"  # MLflow's note in what was downloaded: of which version it is
# What is taken when a model has several flavors -> the key that names its file, or the folder of its file.
_FLAVORS = {
    "onnx": "data",
    "xgboost": "data",
    "lightgbm": "data",
    "sklearn": "pickled_model",
    "pytorch": "model_data",
}
_IN_FOLDERS = {"pytorch": ("model.pth", "model.pt2")}
_TYPES: dict[str, Datatype] = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}


@dataclass(frozen=True)
class ModelFolder:
    """`columns` are the inputs that the signature names, in its order; none where it names none. `code` is
    the folder of the modules that were logged with the model, `example` the file of its input example, a
    table, if there are some."""

    file: Path
    flavor: str
    columns: dict[str, ColumnSection]
    code: Path | None
    example: Path | None


def registered_text(name: str, version: int) -> str:
    """The note of a version, as MLflow writes it."""
    return f"model_name: {json.dumps(name)}\nmodel_version: '{version}'\n"


def registered(project: Project) -> dict[str, str]:
    """Which version of a registered model [model] source is, as the folder says: name, version, and the ids
    of the logged model and of the run where there are any. Empty if it says nothing. Raises BuildError."""
    folder = project.root / (project.model.file or "")
    if project.model.file is None or not is_model_folder(folder) or not (folder / REGISTERED).is_file():
        return {}
    noted, model = _document(folder, REGISTERED), _document(folder, FILE)
    said = {
        "model": noted.get("model_name"),
        "version": noted.get("model_version"),
        "modelId": model.get("model_id"),
        "runId": model.get("run_id"),
    }
    return {key: value for key, value in said.items() if isinstance(value, str) and value}


def registered_in(spec: Spec) -> str:
    """The version that a bundle was made from, in MLflow's words; empty if it does not say."""
    known = spec.model.get("registered")
    if not isinstance(known, dict) or not known:
        return ""
    return f"models:/{known.get('model')}/{known.get('version')}"


def _document(folder: Path, name: str) -> dict[str, Any]:
    """A file of the folder as an object; BuildError if it cannot be read."""
    try:
        document = plain_yaml.read((folder / name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, plain_yaml.NotPlain) as error:
        raise BuildError(f"{folder.name}/{name} cannot be read", cause=str(error)) from error
    return document if isinstance(document, dict) else {}


def is_model_folder(path: Path) -> bool:
    return (path / FILE).is_file()


def read_folder(folder: Path) -> ModelFolder:
    """What is in the folder; raises BuildError that says why it cannot be taken."""
    document = _document(folder, FILE)
    flavors = document.get("flavors")
    if not isinstance(flavors, dict):
        raise BuildError(f"{folder.name}/{FILE} names no flavors", cause="it is not one that MLflow wrote")
    flavor = next((name for name in _FLAVORS if isinstance(flavors.get(name), dict)), None)
    if flavor is None:
        raise BuildError(
            f"{folder.name} is an MLflow model of the flavor {', '.join(map(str, flavors))}",
            cause=f"what can be taken is {', '.join(_FLAVORS)}",
            fix="Log the model with one of these, or save it as ONNX",
        )
    code = flavors[flavor].get("code")
    return ModelFolder(
        file=_file(folder, flavor, flavors[flavor].get(_FLAVORS[flavor])),
        flavor=flavor,
        columns=_columns(folder, document.get("signature")),
        code=None if code is None else _inside(folder, code),
        example=_example(folder, document.get("saved_input_example_info")),
    )


def model_file(project: Project) -> Path | None:
    """The file that [model] source names, itself or as an MLflow folder; None if it names a function."""
    if project.model.file is None:
        return None
    path = project.root / project.model.file
    return read_folder(path).file if is_model_folder(path) else path


def logged_code(project: Project) -> Path | None:
    """The folder of modules in the MLflow folder that [model] source names, if both are there."""
    path = project.root / (project.model.file or "")
    return read_folder(path).code if project.model.file and is_model_folder(path) else None


def with_signature(project: Project) -> Project:
    """`project` with what the signature of its MLflow folder says and mlship.toml does not: the inputs, in
    the model's order, and their types. Behind a reduction of its own it says nothing of the raw columns."""
    path = project.root / (project.model.file or "")
    hidden = project.reduction is not None and project.reduction.split is None
    if project.model.file is None or hidden or not is_model_folder(path):
        return project
    return with_inputs(project, read_folder(path).columns)


def _file(folder: Path, flavor: str, name: Any) -> Path:
    """The model's file, which must lie in the folder itself."""
    path = _inside(folder, name)
    for usual in _IN_FOLDERS.get(flavor, ()) if path.is_dir() else ():
        if (path / usual).exists():
            return _file(folder, flavor, f"{name}/{usual}")
    if not path.is_file():
        raise BuildError(f"{folder.name}/{FILE} names {name!r}, which is not a file that is known")
    return path


def _example(folder: Path, said: Any) -> Path | None:
    """The input example, if it is a table."""
    if not isinstance(said, dict) or said.get("type") != "dataframe":
        return None
    return _inside(folder, said.get("artifact_path"))


def _inside(folder: Path, name: Any) -> Path:
    """What is called `name` in the folder, if it really lies there."""
    if not isinstance(name, str) or not name:
        raise BuildError(f"{folder.name}/{FILE} names no file of the model")
    place = PurePosixPath(name)
    path = folder / place
    outside = place.is_absolute() or ".." in place.parts or "\\" in name
    if outside or not path.exists() or not path.resolve().is_relative_to(folder.resolve()):
        raise BuildError(
            f"{folder.name}/{FILE} names {name!r}, which is not in the folder",
            fix="" if outside else "Download all files of the model",
        )
    return path


def _columns(folder: Path, signature: Any) -> dict[str, ColumnSection]:
    """The named inputs. A signature of arrays names none; types that rows of a CSV file cannot have are left
    to the examples."""
    text = signature.get("inputs") if isinstance(signature, dict) else None
    if text is None:
        return {}
    try:
        inputs = json.loads(text)
        named = [(entry["name"], entry) for entry in inputs if entry.get("type") != "tensor"]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BuildError(f"{folder.name}/{FILE} has a signature that cannot be read") from error
    found = {}
    for name, entry in named:
        optional = entry.get("required") is False or entry.get("optional") is True
        found[str(name)] = ColumnSection(type=_TYPES.get(entry["type"]), nullable=True if optional else None)
    return found
