"""`mlship import --from`: a project out of what another tool wrote, an MLflow model or a KitOps project."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from mlship.bundle.exchange.kitfile import kitfile_of, read_kit
from mlship.bundle.models.mlflow import is_model_folder, read_folder
from mlship.config.project import FILE_NAME
from mlship.errors import ConfigError, UsageError
from mlship.ops.fetch_model import SCHEME, fetched
from mlship.ops.init import Started, init_for_model
from mlship.progress import SILENT, Progress

EXAMPLES = "rows.csv"
_MOST = 64 << 20  # bytes of an input example


class ImportedProject(Started, frozen=True, kw_only=True):
    """A project that was started from `source`. `copied` are the files that were made out of it, relative to
    the project; `left_out` is what the source names and the project does not have."""

    source: str
    copied: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """What is taken: the model, a file or a folder (then `within` is the file in it, or empty for MLflow's);
    the rows, a file or the text of one; a name and a version if it says them."""

    model: Path
    within: str
    rows: Path | str
    name: str
    version: str
    left_out: tuple[str, ...]


def import_any(
    source: str, folder: Path, *, examples: Path | None = None, progress: Progress = SILENT
) -> ImportedProject:
    """As `import_folder`; a `source` like models:/churn@champion is fetched from MLflow first."""
    if not source.startswith(SCHEME):
        return import_folder(Path(source), folder, examples=examples, progress=progress)
    with fetched(source, progress) as found:
        done = import_folder(found, folder, examples=examples, progress=progress)
    return replace(done, source=source)


def import_folder(
    source: Path, folder: Path, *, examples: Path | None = None, progress: Progress = SILENT
) -> ImportedProject:
    """Start a project in `folder` from an MLflow model folder or a KitOps project.

    What lies outside of `folder` is copied into it; nothing is overwritten, and nothing is there if it fails.
    `examples` stand for those of the source. Raises UsageError, ConfigError or BuildError.
    """
    if (folder / FILE_NAME).exists():
        raise UsageError(f"{folder} has a {FILE_NAME} already", fix="Name another folder for the project")
    if examples is not None and not examples.is_file():
        raise UsageError(f"{examples} is {'not a file' if examples.exists() else 'not there'}")
    found = _read(source, examples)
    made: list[Path] = []
    try:
        model = _bring(found.model, folder, made) / found.within
        rows = _bring(found.rows, folder, made) if isinstance(found.rows, Path) else folder / EXAMPLES
        if isinstance(found.rows, str):
            _new_file(rows, found.rows.encode(), made)
        started = init_for_model(
            folder, model=model, examples=rows, name=found.name, version=found.version, progress=progress
        )
    except BaseException as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            cause = error.strerror or str(error)
            raise ConfigError(f"{error.filename or folder} cannot be copied", cause=cause) from error
        raise
    return ImportedProject(
        folder=started.folder,
        files=started.files,
        seen=started.seen,
        next=started.next,
        source=str(source),
        copied=tuple(str(path.relative_to(folder)) for path in made if path.is_file()),
        left_out=found.left_out,
    )


def _read(source: Path, examples: Path | None) -> _Source:
    if is_model_folder(source):
        return _of_mlflow(source, examples)
    if kitfile_of(source) is None:
        raise UsageError(f"{source} is neither a model of MLflow nor a project with a Kitfile")
    kit = read_kit(source)
    rows = (examples,) if examples else kit.rows
    if len(rows) != 1:
        named = f"has {len(rows)} data sets that are rows" if rows else "has no data set that is rows"
        raise UsageError(f"the Kitfile {named} (.csv, .npy)", fix="Say which: --examples FILE")
    unused = (f"datasets {path.relative_to(source)}" for path in kit.rows if path not in rows)
    within = _model_in(kit.model) if kit.model.is_dir() and not is_model_folder(kit.model) else ""
    return _Source(kit.model, within, rows[0], kit.name, kit.version, (*kit.left_out, *unused))


def _model_in(folder: Path) -> str:
    """The name of the only file in a folder, or of the only ONNX file; raises UsageError."""
    files = [path for path in folder.iterdir() if path.is_file()]
    graphs = [path for path in files if path.suffix == ".onnx"]
    for one in (files, graphs):
        if len(one) == 1:
            return one[0].name
    raise UsageError(
        f"the Kitfile's model is the folder {folder.name}, of {len(files)} files",
        fix="Name its file instead: mlship init --model FILE --examples FILE",
    )


def _of_mlflow(source: Path, examples: Path | None) -> _Source:
    model = read_folder(source)
    rows: Path | str | None = examples
    if rows is None and model.example is not None:
        rows = _table(model.example)
    if rows is None:
        raise UsageError(
            f"{source.name} was logged without an input example that is a table",
            fix="Give rows for the model: --examples FILE",
        )
    return _Source(source, "", rows, "", "", ())


def _bring(path: Path, folder: Path, made: list[Path]) -> Path:
    """`path` itself where it lies beneath `folder`, else its copy there; `made` gets what is new."""
    if path.resolve().is_relative_to(folder.resolve()):
        return path
    target = folder / (path.name or path.resolve().name)
    if target.exists():
        raise UsageError(f"{target} is already there", fix="Nothing was written; take another folder")
    if not path.is_dir():
        _copy(path, target, made)
        return target
    for file in _all_of(path):
        _copy(file, target / file.relative_to(path), made)
    return target


def _all_of(folder: Path) -> Iterator[Path]:
    """Every file beneath `folder`; raises UsageError for a link."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UsageError(f"{path} is a link", fix="Copy what it points at to its place")
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _copy(path: Path, target: Path, made: list[Path]) -> None:
    _enter(target.parent, made)
    with path.open("rb") as source, target.open("xb") as file:
        made.append(target)
        shutil.copyfileobj(source, file)


def _new_file(path: Path, data: bytes, made: list[Path]) -> None:
    if path.exists():
        raise UsageError(f"{path} is already there", fix="Nothing was written; take another folder")
    _enter(path.parent, made)
    with path.open("xb") as file:
        made.append(path)
        file.write(data)


def _enter(folder: Path, made: list[Path]) -> None:
    if not folder.exists():
        _enter(folder.parent, made)
        folder.mkdir()
        made.append(folder)


def _table(file: Path) -> str:
    """The CSV of an input example, which MLflow writes as {"columns": [...], "data": [[...]]}."""
    try:
        if file.stat().st_size > _MOST:
            raise ValueError("it is too large")
        found = json.loads(file.read_text(encoding="utf-8"))
        columns, rows = found["columns"], found["data"]
        if any(len(row) != len(columns) for row in rows) or not rows:
            raise ValueError("its rows do not fit its columns")
        cells = [value for row in rows for value in row]
        if any(isinstance(value, (list, dict)) for value in cells):
            raise ValueError("a cell holds more than one value")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the input example {file.name} cannot be read",
            cause=str(error),
            fix="Give rows for the model: --examples FILE",
        ) from error
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue()
