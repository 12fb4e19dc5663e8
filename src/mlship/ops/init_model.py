"""What `mlship init --model` sees in a model and its rows."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec

import mlship_runtime
from mlship.bundle import children
from mlship.bundle.models.mlflow import is_model_folder, read_folder
from mlship.config.files import interpreter
from mlship.errors import UsageError
from mlship.result import Result
from mlship.schema import Table, infer, read_column, read_table

LIKELY_LABELS = ("target", "label", "labels", "y", "class", "outcome", "answer")
CHILD = Path(children.__file__).with_name("start.py")
GROUND_FLOOR = Path(mlship_runtime.__file__).parent


class Column(Result, frozen=True, kw_only=True):
    """An input: `holds` says in words what its values are."""

    name: str
    datatype: str
    nullable: bool
    holds: str


class Seen(Result, frozen=True, kw_only=True):
    """A model and its rows; `columns` are the model's inputs in its order."""

    model: str
    made_with: str
    python: str
    features: int | None
    classes: tuple[str, ...]
    rows: int
    columns: tuple[Column, ...]
    left_out: tuple[str, ...]


class _Found(msgspec.Struct, frozen=True, rename="camel"):
    class_: str = msgspec.field(name="class")
    made_with: str
    python: str
    features: int | None
    names: list[str] | None
    classes: list[str]
    predicts: bool
    shape: list[int] | None = None
    unreadable: str = ""


def look(folder: Path, *, model: Path, examples: Path, python: Path | None = None) -> Seen:
    """Read both, the model with `python` (None: the project's own). Raises UsageError or BuildError that says
    what is wrong, or why they do not fit."""
    logged = read_folder(model) if is_model_folder(model) else None
    file = logged.file if logged else model
    for path in (file, examples):
        if not path.is_file():
            raise UsageError(f"{path} is {'not a file' if path.exists() else 'not there'}")
    found = _ask(python or _interpreter(folder), folder, file, examples, logged.code if logged else None)
    if logged and logged.columns:
        found = msgspec.structs.replace(found, names=list(logged.columns))
    if not found.predicts:
        raise UsageError(
            f"{model} holds a {found.class_}, which cannot predict", fix="Save the fitted model itself"
        )
    if found.unreadable:
        raise UsageError(
            f"{examples} is no array of numbers", cause=found.unreadable, fix="Write it with numpy.save"
        )
    if found.shape is not None:
        _check_shape(found, found.shape, model=model, examples=examples)
        return _seen(found, rows=found.shape[0], columns=(), left_out=())
    table = read_table(examples)
    kept = choose(found, table, model=model.name)
    inputs = table.only(kept)
    columns = tuple(
        Column(
            name=spec.name,
            datatype=spec.datatype,
            nullable=spec.nullable,
            holds=_holds(read_column(inputs, spec)),
        )
        for spec in infer(inputs)
    )
    left_out = tuple(name for name in table.header if name not in kept)
    return _seen(found, rows=len(table.rows), columns=columns, left_out=left_out)


def choose(found: _Found, table: Table, *, model: str) -> tuple[str, ...]:
    """The columns that the model reads, in its order: by its names, else by their number.

    One column more than the model reads is the label: the one with a usual name, else the one that holds
    only the model's classes, else the last. Raises UsageError if they do not fit.
    """
    if found.names is not None:
        names = [_called(name, table.header) for name in found.names]
        if set(names) - set(table.header):
            raise _other_names(names, table, model)
        return tuple(names)
    if found.features in (None, len(table.header)):
        return table.header
    if found.features == len(table.header) - 1:
        label = _label(table, found.classes)
        return tuple(name for name in table.header if name != label)
    raise UsageError(
        f"{table.name} has {len(table.header)} columns and {model} reads {found.features}",
        fix="Give rows as the model reads them; the label may be one column more",
    )


def _called(name: str, header: tuple[str, ...]) -> str:
    """The column that a model means by `name`: LightGBM writes `_` for spaces."""
    return name if name in header else next((n for n in header if n.replace(" ", "_") == name), name)


def _other_names(names: list[str], table: Table, model: str) -> UsageError:
    missing = [name for name in names if name not in table.header]
    return UsageError(
        f"{table.name} has no column {_some(missing)}",
        cause=f"{model} was trained with it",
        fix=f"Its columns are {_some(list(table.header))}",
    )


def _label(table: Table, classes: list[str]) -> str:
    for name in table.header:
        if name.lower() in LIKELY_LABELS:
            return name
    for at, name in enumerate(table.header):
        if classes and {row[at].strip() for row in table.rows} <= set(classes):
            return name
    return table.header[-1]


def _check_shape(found: _Found, shape: list[int], *, model: Path, examples: Path) -> None:
    if len(shape) == 2 and found.features in (None, shape[1]):
        if not shape[0]:
            raise UsageError(f"{examples} has no rows", fix="Save some raw inputs as examples")
        return
    raise UsageError(
        f"{examples} is an array of {' x '.join(map(str, shape))}",
        cause=f"{model} reads {found.features} numbers a row",
        fix="Save an array of shape [rows, features]",
    )


def _seen(found: _Found, *, rows: int, columns: tuple[Column, ...], left_out: tuple[str, ...]) -> Seen:
    return Seen(
        model=found.class_,
        made_with=found.made_with,
        python=found.python,
        features=found.features,
        classes=tuple(found.classes),
        rows=rows,
        columns=columns,
        left_out=left_out,
    )


def _holds(values: list[Any]) -> str:
    present = [value for value in values if value is not None]
    missing = ", some missing" if len(present) < len(values) else ""
    if present and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        whole = all(isinstance(value, int) for value in present)
        return f"{'whole numbers' if whole else 'numbers'} {min(present):g} to {max(present):g}{missing}"
    distinct = sorted({str(value) for value in present})
    return (", ".join(distinct) if len(distinct) <= 6 else f"{len(distinct)} different texts") + missing


def _ask(python: Path, folder: Path, model: Path, examples: Path, code: Path | None) -> _Found:
    with tempfile.TemporaryDirectory(prefix="mlship-init-") as scratch:
        result, job = Path(scratch) / "model.json", Path(scratch) / "job.json"
        paths = {"model": model, "examples": examples, "result": result, "groundFloor": GROUND_FLOOR}
        words = {name: str(path.absolute()) for name, path in paths.items()}
        folders = [str(place.absolute()) for place in (folder, model.parent, code) if place]
        job.write_text(json.dumps({"work": "look", "folders": folders, **words}), encoding="utf-8")
        done = subprocess.run(
            [str(python), "-B", str(CHILD), str(job)], capture_output=True, text=True, check=False
        )
        if not result.exists():
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise UsageError(f"{model} could not be looked at with {python}", cause=last)
        answer = json.loads(result.read_text(encoding="utf-8"))
    if "error" in answer:
        raise UsageError(
            f"{model} cannot be loaded",
            cause=_said(answer["error"]),
            fix=f"That was {python}; activate the environment that made the model, or set MLSHIP_PYTHON",
        )
    return msgspec.convert(answer, _Found)


def _said(error: str | dict[str, str]) -> str:
    """What the child says; of a Python that is too old it is a whole error."""
    return error if isinstance(error, str) else error["what"]


def _interpreter(folder: Path) -> Path:
    own = folder / ".venv" / "bin" / "python"
    return own.absolute() if own.is_file() else interpreter(None)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
