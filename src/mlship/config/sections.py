"""What mlship.toml can say, section by section. `example.toml` beside this file is its documentation."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from mlship.config.answering import Answering
from mlship.config.limits import RequestLimits
from mlship.config.sizes import Size, bytes_of

SYNTHETIC = "synthetic"
MAX_GOLDEN_ROWS = 256
_CALLABLE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

Datatype = Literal[  # the names of the Open Inference Protocol V2
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip
Gate = Literal["signature", "parity", "scan", "quality"]
MetricName = Literal[
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "rmse", "mae", "r2",
]  # fmt: skip
Forbidden = Literal["python", "pickle"]
Platform = Literal["linux/amd64", "linux/arm64", "macos/amd64", "macos/arm64"]
Callable = Annotated[str, msgspec.Meta(pattern="^" + _CALLABLE.pattern + "$", title="module:function")]
KeyId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", title="64 hexadecimal digits")]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Version = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: frozen, no unknown keys."""


class Tolerance(Section, frozen=True, kw_only=True):
    """Two numbers a and b are equal when |a - b| <= abs + rel * |b|."""

    abs: NotNegative = 1e-5
    rel: NotNegative = 1e-4


class ProjectSection(Section, frozen=True, kw_only=True):
    name: Text
    version: Text = "0.1.0"
    python: Text | None = None
    domain: Text | None = None


class BundleSection(Section, frozen=True, kw_only=True):
    labels: dict[str, str] = {}
    not_secret: tuple[Text, ...] = ()
    max_size: Size | None = None
    card: Text | None = None

    @property
    def max_bytes(self) -> int | None:
        """The budget in bytes, if there is one."""
        return bytes_of(self.max_size or "")


class ModelSection(Section, frozen=True, kw_only=True):
    source: Text
    engine: Literal["onnx", "python"] = "onnx"
    allow_globals: tuple[Text, ...] = ()
    tolerance: Tolerance = Tolerance(abs=1e-4)
    tracking_uri: Text | None = None

    @property
    def callable(self) -> tuple[str, str] | None:
        """(module, function) if the model is made by a function of the project, else None."""
        return _split(self.source) if _CALLABLE.fullmatch(self.source) else None

    @property
    def file(self) -> str | None:
        """The model's file, relative to the project, if it is one."""
        return None if self.callable else self.source


class ReductionSection(Section, frozen=True, kw_only=True):
    """One of `step` (a function of the project), `graph` (an ONNX file) and `split` (how many of the model's
    first steps, or the name of the last of them)."""

    step: Callable | None = None
    graph: Text | None = None
    split: Annotated[int, msgspec.Meta(ge=1)] | Text | None = None
    include: tuple[Text, ...] = ()
    fuse: bool = True

    @property
    def module(self) -> str | None:
        return _split(self.step)[0] if self.step else None

    @property
    def function(self) -> str | None:
        return _split(self.step)[1] if self.step else None


class GoldenSection(Section, frozen=True, kw_only=True):
    source: Text = msgspec.field(default=SYNTHETIC, name="from")
    columns: tuple[Text, ...] | None = None
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_GOLDEN_ROWS)] = 64
    tolerance: Tolerance = Tolerance()
    seed: int = 0
    seen: bool = True
    labels: dict[str, str] = {}

    @property
    def synthetic(self) -> bool:
        return self.source == SYNTHETIC


class ColumnSection(Section, frozen=True, kw_only=True):
    """What is not said here is taken from the examples."""

    type: Datatype | None = None
    nullable: bool | None = None
    min: float | None = None
    max: float | None = None
    values: tuple[str | int | float | bool, ...] | None = None
    seen: bool = True


class RuntimeSection(Section, frozen=True, kw_only=True):
    """No `python` means that of the project's interpreter; no `platforms` means this machine's."""

    python: Annotated[str, msgspec.Meta(pattern=r"^3\.\d+$", title="3.N")] | None = None
    platforms: tuple[Platform, ...] = ()
    requirements: tuple[Text, ...] = ()
    trim: bool = True
    limits: RequestLimits = RequestLimits()


class ServeSection(Answering, Section, frozen=True, kw_only=True):
    """How `mlship serve` answers here. Files of `external` are looked for beside mlship.toml."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080


class ImageSection(Section, frozen=True, kw_only=True):
    """What `mlship image build` puts a bundle on, and labels of the image."""

    base: Text | None = None
    labels: dict[str, str] = {}


class RecordsSection(Section, frozen=True, kw_only=True):
    """How files of COBOL records are read and written; `names` maps fields of a copybook to the schema."""

    code_page: Text = "cp037"
    recfm: Literal["fb", "vb", "vb-blocks"] = "fb"
    signs: Literal["ebcdic", "ascii"] = "ebcdic"
    native: Literal["big", "little"] = "big"
    floats: Literal["hex", "ieee"] = "hex"
    source: Literal["auto", "fixed", "free"] = "auto"
    names: dict[str, Text] = {}


class TrustSection(Section, frozen=True, kw_only=True):
    """`keys` are files of public keys by a name of one's own; `policy_by` are those that may sign policies
    (empty: all)."""

    keys: dict[str, Text] = {}
    revoked: tuple[KeyId, ...] = ()
    policy_by: tuple[Text, ...] = ()


class QualitySection(Section, frozen=True, kw_only=True):
    """`rows` and `answers` are files, or a file and its column; one bound at least is needed."""

    rows: Text
    answers: Text
    metric: MetricName
    output: Text | None = None
    positive: Text | int | bool | None = None
    min: float | None = None
    max: float | None = None
    not_worse_than: Text | None = None
    margin: NotNegative | None = None

    @property
    def positive_text(self) -> str:
        """The class as a label writes it; empty if none is named."""
        return "" if self.positive is None else str(self.positive)


class RegistrySection(Section, frozen=True, kw_only=True):
    """`policy` is the least version that the registry's own policy must have."""

    url: Text
    domain: Text | None = None
    policy: Version | None = None


class TargetSection(Section, frozen=True, kw_only=True):
    """A target: what every adapter has, and `settings`, which the adapter of `type` checks itself."""

    type: Text
    service: Text | None = None
    ledger: Text | None = None
    keep: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2
    labels: dict[str, str] = {}
    domain: Text | None = None
    policy: Version | None = None
    require: tuple[Gate, ...] = ()
    signed_by: tuple[Text, ...] = ()
    scan_except: tuple[Text, ...] = ()
    forbid: tuple[Forbidden, ...] = ()
    settings: dict[str, Any] = {}


def _split(text: str) -> tuple[str, str]:
    module, _, function = text.partition(":")
    return module, function
