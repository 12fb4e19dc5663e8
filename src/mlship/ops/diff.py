"""`mlship diff`: what is different between two bundles, and what would have to be sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlship.ops.context import Context
from mlship.ops.inspect import Parity, parity_of, reduction_of
from mlship.result import Result
from mlship_runtime.bundle.manifest import Descriptor
from mlship_runtime.bundle.spec import Spec, TensorSpec

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle


class Side(Result, frozen=True, kw_only=True):
    """One of the two bundles; `size` of all layers, in bytes."""

    reference: str
    digest: str
    registry: str
    size: int


class LayerChange(Result, frozen=True, kw_only=True):
    """`state` is same, changed, added or removed; layers are the same thing by role, platform and title.
    `size` of the second bundle's layer (of the first's, if it was removed)."""

    state: str
    role: str
    title: str
    platform: str
    size: int
    before: str | None
    after: str | None


class Change(Result, frozen=True, kw_only=True):
    """`what` was `before` and is `after`; None where it is not there."""

    what: str
    before: str | None
    after: str | None


class GoldenChange(Result, frozen=True, kw_only=True):
    """Of the `compared` rows (those with equal inputs) `changed` have another answer, and in `decisions` of
    these more than a float is another; `largest` is the largest difference of a float."""

    compared: int
    added: int
    removed: int
    changed: int
    decisions: int
    largest: float


class WeightsChange(Result, frozen=True, kw_only=True):
    """Weights of the graph by name: initialisers, and attributes of nodes as `node/attribute`. `same_file`:
    the layers are equal and were not read. `unreadable` says why a graph could not be compared."""

    same_file: bool
    same: int
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    operators: tuple[Change, ...]
    unreadable: str


class Difference(Result, frozen=True, kw_only=True):
    """`bytes_to_move` are those that one who has the first bundle lacks of the second."""

    before: Side
    after: Side
    equal: bool
    bytes_to_move: int
    layers: tuple[LayerChange, ...]
    about: tuple[Change, ...]
    schema: tuple[Change, ...]
    packages: tuple[Change, ...]
    parity_before: Parity
    parity_after: Parity
    golden: GoldenChange
    weights: WeightsChange


def diff(ctx: Context, before: str, after: str | None = None) -> Difference:
    """Compare two bundles; `after` None is the last build. Raises UsageError, RegistryError, BundleError."""
    one, two = ctx.open_bundle(before), ctx.open_bundle(after)
    held = {blob.digest for blob in one.manifest.blobs}
    return Difference(
        before=_side(one),
        after=_side(two),
        equal=one.digest == two.digest,
        bytes_to_move=sum(blob.size for blob in two.manifest.blobs if blob.digest not in held),
        layers=tuple(_layers(one.manifest.layers, two.manifest.layers)),
        about=tuple(_changes(_about(one.spec), _about(two.spec))),
        schema=tuple(_changes(_schema(one.spec), _schema(two.spec))),
        packages=tuple(_changes(_packages(one.spec), _packages(two.spec))),
        parity_before=parity_of(one.spec.parity),
        parity_after=parity_of(two.spec.parity),
        golden=_golden(one, two),
        weights=_weights(one, two),
    )


def _side(bundle: OpenBundle) -> Side:
    return Side(
        reference=str(bundle.reference),
        digest=bundle.digest,
        registry=bundle.registry.url,
        size=sum(layer.size for layer in bundle.manifest.layers),
    )


def _layers(before: tuple[Descriptor, ...], after: tuple[Descriptor, ...]) -> Iterator[LayerChange]:
    old = {(layer.role, layer.platform, layer.title): layer for layer in before}
    new = {(layer.role, layer.platform, layer.title): layer for layer in after}
    for key in [*new, *(key for key in old if key not in new)]:
        one, two = old.get(key), new.get(key)
        state = "added" if one is None else "removed" if two is None else "changed"
        layer = two or old[key]
        yield LayerChange(
            state="same" if one and two and one.digest == two.digest else state,
            role=layer.role,
            title=layer.title,
            platform=layer.platform,
            size=layer.size,
            before=one.digest if one else None,
            after=two.digest if two else None,
        )


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            yield Change(what=what, before=before.get(what), after=after.get(what))


def _about(spec: Spec) -> dict[str, str]:
    step = reduction_of(spec)
    return {
        "name": spec.name,
        "version": spec.version,
        "engine": spec.engine,
        "model": spec.form,
        **{f"global {name}": "named" for name in spec.model.get("globals", ())},
        "framework": spec.model["framework"],
        "opset": str(spec.model["opset"]),
        "Python": str(spec.runtime.get("python", "")),
        **({"reduction": step} if step else {}),
        **_sessions(spec),
        **{f"converter {name}": version for name, version in spec.model["converter"].items()},
        **{f"label {name}": value for name, value in spec.labels.items()},
        **{f"label {name} of the rows": value for name, value in spec.golden.get("labels", {}).items()},
        **{f"tolerance {name}": f"{x['abs']:g} + {x['rel']:g} of it" for name, x in spec.tolerance.items()},
    }


def _sessions(spec: Spec) -> dict[str, str]:
    """How many sessions reduction and model are, where both are graphs."""
    fused = (spec.reduction or {}).get("fused")
    return {} if fused is None else {"sessions": "one" if fused else "two"}


def _schema(spec: Spec) -> dict[str, str]:
    groups: dict[str, tuple[TensorSpec, ...]] = {
        "input": spec.inputs,
        "reduced": spec.reduced,
        "output": spec.outputs,
    }
    return {f"{kind} {tensor.name}": _said(tensor) for kind, group in groups.items() for tensor in group}


def _said(tensor: TensorSpec) -> str:
    shape = " x ".join(map(str, tensor.shape))
    return f"{tensor.datatype} [{shape}]" + (", may be missing" if tensor.nullable else "")


def _packages(spec: Spec) -> dict[str, str]:
    """Version and the beginning of the wheel's hash: the same version can be another file."""
    return {
        f"{package['name']} ({platform})": f"{package['version']} {package['sha256'][:12]}"
        for platform, part in sorted(spec.runtime["platforms"].items())
        for package in part["requirements"]
    }


def _golden(one: OpenBundle, two: OpenBundle) -> GoldenChange:
    from mlship.bundle.exchange.differ import golden_difference

    found = golden_difference(one, two)
    return GoldenChange(
        compared=found.compared,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        decisions=found.decisions,
        largest=found.largest,
    )


def _weights(one: OpenBundle, two: OpenBundle) -> WeightsChange:
    from mlship.bundle.exchange.differ import same_model, weight_difference

    found = weight_difference(one, two)
    return WeightsChange(
        same_file=same_model(one, two),
        same=found.same,
        changed=found.changed,
        added=found.added,
        removed=found.removed,
        operators=tuple(
            Change(what=name, before=str(old) if old else None, after=str(new) if new else None)
            for name, old, new in found.operators
        ),
        unreadable=found.unreadable,
    )
