"""What a bundle brings to show that it answers as its original: the proof of its conversion, and the golden
examples with which a target goes on proving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.open import OpenBundle
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import InvalidBundle

AS_IT_IS = "onnx"  # the framework of a model that was ONNX already: nothing was converted


@dataclass(frozen=True)
class Evidence:
    """`rows` on which model and original decide alike (0: the model is the original), with the largest
    errors; and how many golden rows there are."""

    rows: int
    max_abs: float
    max_rel: float
    golden_rows: int


def read_evidence(bundle: OpenBundle) -> Evidence:
    """The evidence in the bundle, held against its schema. Raises BundleError if it is missing, contradicts
    itself, or could not tell a right answer from a wrong one."""
    with as_bundle_error():
        rows, max_abs, max_rel = _conversion(bundle)
        golden = _golden(bundle)
    return Evidence(rows, max_abs, max_rel, golden)


def _conversion(bundle: OpenBundle) -> tuple[int, float, float]:
    parity = Fields(bundle.spec.parity, "parity in mlship.json")
    rows, max_abs, max_rel = parity.number("rows"), parity.measure("maxAbs"), parity.measure("maxRel")
    if bundle.spec.engine == "python" or bundle.spec.model["framework"] == AS_IT_IS:
        return 0, 0.0, 0.0
    if not rows:
        raise _not_proved(bundle, "its model was never compared with the original")
    if not parity.truth("decisionsEqual"):
        raise _not_proved(bundle, "its model decides otherwise than the original")
    if "tolerance" not in parity.values:
        raise _not_proved(bundle, "it does not say within which tolerance: an older mlship has built it")
    limits = _limits(bundle, "of the conversion", parity.object("tolerance"))
    if (not limits["rel"] and max_abs > limits["abs"]) or (not limits["abs"] and max_rel > limits["rel"]):
        raise _not_proved(bundle, "its largest error is beyond its own tolerance")
    return rows, max_abs, max_rel


def _golden(bundle: OpenBundle) -> int:
    spec, golden = bundle.spec, bundle.golden()
    rows = spec.golden["rows"]
    if not rows:
        raise _not_proved(bundle, "it has no golden examples")
    for key, wanted in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        _check_tensors(bundle, golden.get(key), wanted, rows)
    for output in spec.outputs:
        if output.datatype.startswith("FP"):
            if output.name not in spec.tolerance:
                raise _not_proved(bundle, f"there is no tolerance for the output {output.name[:80]!r}")
            _limits(bundle, f"of the output {output.name[:80]!r}", spec.tolerance[output.name])
    return int(rows)


def _check_tensors(bundle: OpenBundle, found: Any, wanted: Iterable[TensorSpec], rows: int) -> None:
    tensors = {t.get("name"): t for t in found if isinstance(t, dict)} if isinstance(found, list) else {}
    wanted = list(wanted)
    for spec in wanted:
        tensor = tensors.get(spec.name)
        if tensor is None or not _is_of(tensor, spec, rows):
            raise _not_proved(bundle, f"its golden examples have no {rows} rows of {spec.name[:80]!r}")
    if len(tensors) != len(wanted) or not wanted:
        raise _not_proved(bundle, "its golden examples are not those of its schema")


def _is_of(tensor: Mapping[str, Any], spec: TensorSpec, rows: int) -> bool:
    shape, data = tensor.get("shape"), tensor.get("data")
    return (
        tensor.get("datatype") == spec.datatype
        and isinstance(shape, list)
        and len(shape) == len(spec.shape)
        and all(type(size) is int and size >= 0 for size in shape)
        and shape[0] == rows
        and all(limit in (-1, size) for size, limit in zip(shape, spec.shape, strict=True))
        and isinstance(data, list)
        and len(data) == prod(shape)
    )


def _limits(bundle: OpenBundle, of: str, given: Fields | Mapping[str, float]) -> dict[str, float]:
    fields = given if isinstance(given, Fields) else Fields(dict(given), f"the tolerance {of}")
    limits = {name: fields.measure(name) for name in ("abs", "rel")}
    if limits["rel"] >= 1:
        raise _not_proved(bundle, f"the tolerance {of} lets any answer pass: rel = {limits['rel']:g}")
    return limits


def _not_proved(bundle: OpenBundle, cause: str) -> InvalidBundle:
    return InvalidBundle(
        f"{bundle.reference} does not prove that it answers as its original",
        cause=cause,
        fix="Build it again with examples, and with tolerances below their values",
    )
