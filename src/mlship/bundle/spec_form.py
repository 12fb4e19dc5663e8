"""The form of `mlship.json` as types: what builds write. The reference and a JSON schema are made of them.

Reading is the ground floor's (`mlship_runtime.bundle.spec`), which is stricter about values and takes fields
that it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mlship_runtime.bundle.paths import MAX_PATH_BYTES

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATH_BYTES)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Measure = Annotated[float, msgspec.Meta(ge=0)]
Size = Annotated[int, msgspec.Meta(ge=-1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
File = Annotated[tuple[Path, Count, Sha256], msgspec.Meta(description="path, size in bytes, sha256")]
Datatype = Literal[
    "BOOL", "BYTES", "FP16", "FP32", "FP64", "INT16", "INT32", "INT64", "INT8", "UINT16", "UINT32", "UINT64",
    "UINT8",
]  # fmt: skip


class _Form(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the parts."""


class Tolerance(_Form, frozen=True, kw_only=True):
    """A number may differ from the recorded one r by abs + rel * |r|."""

    abs: Measure
    rel: Measure


class PythonReduction(_Form, frozen=True, kw_only=True, tag_field="kind", tag="python"):
    """The function that turns raw columns into what the model reads; its module lies below `reduction/`."""

    module: Text
    function: Text


class GraphReduction(_Form, frozen=True, kw_only=True, tag_field="kind", tag="onnx"):
    """The ONNX graph that turns raw columns into what the model reads, what converted it of which steps of a
    pipeline, and for each of its inputs the raw columns it is made of. If it is `fused`, it runs in one
    session with the model; else `apart` says why not."""

    path: Path
    opset: Count
    converter: dict[str, str]
    steps: tuple[str, ...]
    assemble: dict[str, tuple[str, ...]]
    fused: bool
    apart: str = ""


class Seen(_Form, frozen=True, kw_only=True):
    """What the examples had, for people to read; it refuses nothing. Either `values`, sorted, if they were
    few and none of them stood in one row only, or the range of the numbers."""

    values: tuple[str | int | bool, ...] = ()
    min: float | int | None = None
    max: float | int | None = None


class Tensor(_Form, frozen=True, kw_only=True):
    """Datatypes are those of the Open Inference Protocol V2; -1 in a shape is free, rows come first.
    `classes` are the names of the columns of probabilities, `seen` is what the examples had."""

    name: Text
    datatype: Datatype
    shape: tuple[Size, ...]
    nullable: bool
    classes: tuple[str, ...] = ()
    seen: Seen | None = None


class Registered(_Form, frozen=True, kw_only=True):
    """The version of a registered model in MLflow that it was made from; ids of its logged model and run."""

    model: Text
    version: Text
    model_id: Text = ""
    run_id: Text = ""


class Model(_Form, frozen=True, kw_only=True):
    """The model's file, what it was made with, and what converted it (package -> version). The other fields
    are there where the engine is `python`: the form of the file, the classes and functions that it may name,
    the arrays that the model is called with (one matrix, or the columns of a frame), and what it is asked."""

    path: Path
    framework: Text
    converter: dict[str, str]
    opset: Count
    registered: Registered | None = None
    serialization: Literal["pickle", "skops"] | None = None
    globals: tuple[Text, ...] = ()
    reads: Literal["matrix", "frame"] | None = None
    inputs: tuple[Tensor, ...] = ()
    answers: tuple[Literal["label", "probabilities", "prediction"], ...] = ()


class Schema(_Form, frozen=True, kw_only=True):
    """Raw inputs, what the reduction makes of them, and answers."""

    inputs: tuple[Tensor, ...]
    reduced: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Golden(_Form, frozen=True, kw_only=True):
    """Where the golden examples are, how many, and the tolerance by float output (others must be equal).
    `labels` are those of the rows, and of what was seen in them; left out if they have none."""

    path: Path
    rows: Count
    tolerance: dict[str, Tolerance]
    labels: dict[str, str] = {}


class Parity(_Form, frozen=True, kw_only=True):
    """How far the ONNX model is from the original, at most, on the examples of the build."""

    rows: Count
    max_abs: Measure
    max_rel: Measure
    decisions_equal: bool
    tolerance: Tolerance


class Package(_Form, frozen=True, kw_only=True):
    """A locked wheel."""

    name: Text
    version: Text
    file: Text
    sha256: Sha256


class PlatformRuntime(_Form, frozen=True, kw_only=True):
    """The packages of one platform; `trim` is the number of the list of what was left out (0: nothing)."""

    requirements: tuple[Package, ...]
    trim: Count


class Runtime(_Form, frozen=True, kw_only=True):
    """Python (3.N) and packages by platform, e.g. linux-amd64-cp311-gnu2.28."""

    python: Text
    platforms: dict[str, PlatformRuntime]
    limits: dict[str, Any]


class BundleSpec(_Form, frozen=True, kw_only=True):
    """The whole of `mlship.json`: everything about a bundle that is not in its manifest."""

    schema_version: Literal[1]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    labels: dict[str, str]
    not_secret: Annotated[
        tuple[Text, ...],
        msgspec.Meta(description="places (FILE or FILE:LINE) that only look like a secret; may be left out"),
    ] = ()
    engine: Literal["onnx", "python"]
    model: Model
    reduction: PythonReduction | GraphReduction | None
    assemble: Annotated[
        dict[str, tuple[str, ...]],
        msgspec.Meta(description="for each input of the graph, the reduced columns it is made of, in order"),
    ]
    schema: Schema
    golden: Golden
    parity: Parity
    runtime: Runtime
    files: Annotated[
        dict[Digest, tuple[File, ...]],
        msgspec.Meta(description="by digest of each tar layer, its files, sorted by path bytes"),
    ]


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of mlship.json."""
    schema = msgspec.json.schema(BundleSpec)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlship.json", **schema}
