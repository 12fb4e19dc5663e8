"""The spec of a bundle (`mlship.json`): schema, reduction, runtime, golden, and the index of every file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.paths import PathSet, check_path
from mlship_runtime.errors import InvalidBundle

SPEC_PLACE = "mlship.json"
SPEC_SCHEMA = 1
MAX_SPEC_BYTES = 16 << 20
_INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
DATATYPES = frozenset({"BOOL", "FP16", "FP32", "FP64", "BYTES"} | _INTEGERS)
ENGINES = ("onnx", "python")
SERIALIZATIONS = ("pickle", "skops")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Seen:
    """What a build's examples had, which binds nobody: `values`, if they were few, else the range of the
    numbers."""

    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor: V2 `datatype`, `shape` with -1 for free dimensions, batch first; `classes` name an
    output's columns, where each stands for a class; `seen` is None where nothing is told."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool
    classes: tuple[str, ...] = ()
    seen: Seen | None = None


@dataclass(frozen=True)
class FileEntry:
    """One file of a layer: its path, size in bytes and sha256 (64 hexadecimal digits)."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Spec:
    """A checked spec. `model`, `reduction`, `golden`, `parity`, `runtime` are the JSON objects as written."""

    document: Mapping[str, Any]
    name: str
    version: str
    labels: Mapping[str, str]
    engine: str
    model: Mapping[str, Any]
    reduction: Mapping[str, Any] | None
    assemble: Mapping[str, tuple[str, ...]]
    inputs: tuple[TensorSpec, ...]
    reduced: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Mapping[str, Any]
    tolerance: Mapping[str, Mapping[str, float]]
    parity: Mapping[str, Any]
    runtime: Mapping[str, Any]
    files: Mapping[str, tuple[FileEntry, ...]]

    @property
    def form(self) -> str:
        """What the model's file is: onnx, pickle or skops."""
        return "onnx" if self.engine == "onnx" else str(self.model["serialization"])


def read_spec(data: bytes) -> Spec:
    """Read `mlship.json`; raises InvalidBundle that names the field at fault. Unknown fields are let be."""
    top = Fields(canonical.decode(data, max_bytes=MAX_SPEC_BYTES), SPEC_PLACE)
    top.schema_version(SPEC_SCHEMA)
    schema = top.object("schema")
    golden = top.object("golden")
    golden.number("rows")
    golden.texts("labels")
    engine = _engine(top)
    return Spec(
        document=top.values,
        name=top.text("name", 63),
        version=top.text("version", 128),
        labels=top.texts("labels"),
        engine=engine,
        model=_model(top.object("model"), engine),
        reduction=None if top.get("reduction") is None else _reduction(top.object("reduction")),
        assemble=_assemble(top.object("assemble")),
        inputs=_tensors(schema, "inputs"),
        reduced=_tensors(schema, "reduced"),
        outputs=_tensors(schema, "outputs"),
        golden={**golden.values, "path": check_path(golden.text("path"))},
        tolerance=_tolerance(golden.object("tolerance")),
        parity=top.object("parity").values,
        runtime=_runtime(top.object("runtime")),
        files=_files(top.object("files")),
    )


def _engine(top: Fields) -> str:
    engine = top.text("engine")
    if engine not in ENGINES:
        raise top.wrong("engine", f"is {engine[:40]!r}: unknown, or of a newer mlship")
    return engine


def _model(fields: Fields, engine: str) -> Mapping[str, Any]:
    check_path(fields.text("path"))
    fields.text("framework")
    fields.texts("converter")
    fields.number("opset")
    if engine == "python":
        _python_model(fields)
    return fields.values


def _python_model(fields: Fields) -> None:
    """What is said of a model that is no graph: how it was written, what its file names, what it reads."""
    for key, known in (("serialization", SERIALIZATIONS), ("reads", ("matrix", "frame"))):
        if fields.text(key) not in known:
            raise fields.wrong(key, f"is none of {', '.join(known)}")
    for key in ("globals", "answers"):
        if not all(isinstance(name, str) and name for name in fields.array(key)):
            raise fields.wrong(key, "is not a list of names")
    inputs = _tensors(fields, "inputs")
    if not inputs or (fields.text("reads") == "matrix" and len(inputs) != 1):
        raise fields.wrong("inputs", "is not what the model reads")


def _reduction(fields: Fields) -> Mapping[str, Any]:
    kind = fields.text("kind")
    if kind == "onnx":
        if not check_path(fields.text("path")).startswith("reduction/"):
            raise fields.wrong("path", "is not in the reduction's folder")
        fields.truth("fused")
        _assemble(fields.object("assemble"))
        return fields.values
    if kind != "python":
        raise fields.wrong("kind", f"is {kind[:40]!r}: unknown, or of a newer mlship")
    for key in ("module", "function"):
        if not all(part.isidentifier() for part in fields.text(key).split(".")):
            raise fields.wrong(key, "is not a Python name")
    return fields.values


def _assemble(fields: Fields) -> dict[str, tuple[str, ...]]:
    found = {}
    for name in fields.values:
        columns = fields.array(name)
        if not columns or not all(isinstance(column, str) for column in columns):
            raise fields.wrong(name, "is not a list of columns")
        found[name] = tuple(columns)
    return found


def _tensors(schema: Fields, key: str) -> tuple[TensorSpec, ...]:
    found = tuple(_tensor(fields) for fields in schema.objects(key))
    if len({tensor.name for tensor in found}) != len(found):
        raise schema.wrong(key, "names a tensor twice")
    return found


def _tensor(fields: Fields) -> TensorSpec:
    datatype = fields.text("datatype")
    if datatype not in DATATYPES:
        raise fields.wrong("datatype", f"is {datatype[:40]!r}")
    shape = fields.array("shape")
    if not all(type(size) is int and size >= -1 for size in shape):
        raise fields.wrong("shape", "is not a list of sizes (-1 for free ones)")
    classes = _classes(fields, shape)
    seen = _seen(fields.object("seen")) if "seen" in fields.values else None
    return TensorSpec(fields.text("name"), datatype, tuple(shape), fields.truth("nullable"), classes, seen)


def _seen(fields: Fields) -> Seen:
    if "values" in fields.values:
        values = fields.array("values")
        if not values or not all(isinstance(value, (str, int)) for value in values):
            raise fields.wrong("values", "is not a list of texts, whole numbers or truth values")
        return Seen(tuple(values))
    for key in ("min", "max"):
        if type(fields.get(key)) not in (int, float):
            raise fields.wrong(key, "is not a number")
    return Seen((), fields.get("min"), fields.get("max"))


def _classes(fields: Fields, shape: list[int]) -> tuple[str, ...]:
    """Empty if the key is missing, as in bundles of before."""
    if "classes" not in fields.values:
        return ()
    classes = fields.array("classes")
    if not all(isinstance(name, str) for name in classes) or shape[1:] != [len(classes)]:
        raise fields.wrong("classes", "is not a list with a name for each column")
    return tuple(classes)


def _tolerance(fields: Fields) -> Mapping[str, Mapping[str, float]]:
    found = {}
    for name in fields.values:
        limits = fields.object(name)
        found[name] = {"abs": limits.measure("abs"), "rel": limits.measure("rel")}
    return found


def _runtime(fields: Fields) -> Mapping[str, Any]:
    fields.text("python")
    platforms = fields.object("platforms")
    for name in platforms.values:
        for requirement in platforms.object(name).objects("requirements"):
            for key in ("name", "version", "file", "sha256"):
                requirement.text(key)
    return fields.values


def _files(fields: Fields) -> dict[str, tuple[FileEntry, ...]]:
    found = {}
    for digest in fields.values:
        if not _DIGEST.fullmatch(digest):
            raise fields.wrong(digest, "is not a digest of a layer")
        found[digest] = read_entries(fields.array(digest), f"{fields.place}: {digest[:19]}")
    return found


def read_entries(rows: Any, place: str = "the file index") -> tuple[FileEntry, ...]:
    """The index of one layer from its JSON rows `[path, size, sha256]`; raises InvalidBundle, also when they
    are not sorted by the bytes of their paths."""
    paths, entries, last = PathSet(), [], b""
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise InvalidBundle(f"{place}: a row is not [path, size, sha256]")
        path, size, sha256 = row
        if not isinstance(path, str) or type(size) is not int or size < 0:
            raise InvalidBundle(f"{place}: a row is not [path, size, sha256]")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise InvalidBundle(f"{place}: the sha256 of {path[:250]!a} is none")
        paths.add(path)
        if path.encode("utf-8") <= last:
            raise InvalidBundle(f"{place}: {path!a} is out of order")
        last = path.encode("utf-8")
        entries.append(FileEntry(path, size, sha256))
    return tuple(entries)
