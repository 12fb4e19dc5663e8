"""`mlship inspect`: what is in a bundle, from its manifest and spec alone; no layer is read."""

from __future__ import annotations

from typing import Any

from mlship.ops.attested import Attestation, attestations_of
from mlship.ops.context import Context
from mlship.ops.signatures import Origin, Signature, origins_of, signatures_of
from mlship.result import Result
from mlship_runtime.bundle.manifest import Descriptor, Manifest
from mlship_runtime.bundle.spec import Spec, TensorSpec


class Layer(Result, frozen=True, kw_only=True):
    """`size` in bytes; `files` is 0 for the spec itself."""

    role: str
    title: str
    platform: str
    size: int
    files: int
    digest: str


class File(Result, frozen=True, kw_only=True):
    """One file of a layer; `layer` is its title, `size` in bytes, `sha256` 64 hexadecimal digits."""

    layer: str
    path: str
    size: int
    sha256: str


class Room(Result, frozen=True, kw_only=True):
    """What takes the room: a package of the runtime, or all files of another role; `share` from 0 to 1."""

    part: str
    platform: str
    size: int
    share: float


class Seen(Result, frozen=True, kw_only=True):
    """What the examples had: `values`, if they were few, else the range."""

    values: tuple[str | int | bool, ...]
    min: float | None
    max: float | None


class Tensor(Result, frozen=True, kw_only=True):
    """`shape` has -1 where the number of rows stands; `classes` name an output's columns; `seen` is null
    where the bundle tells nothing."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool
    classes: tuple[str, ...] = ()
    seen: Seen | None = None


class Requirement(Result, frozen=True, kw_only=True):
    """A package of the runtime, locked."""

    platform: str
    name: str
    version: str
    sha256: str


class Parity(Result, frozen=True, kw_only=True):
    """How far the ONNX model's answers are from those of the original."""

    rows: int
    max_abs: float
    max_rel: float
    decisions_equal: bool


class Inspected(Result, frozen=True, kw_only=True):
    """Everything about a bundle that a person may want to know. `size` is that of all layers, in bytes;
    `reduction` says what reduces, `fused` whether that runs in one session with the model, `apart` why not;
    `absent` are the titles of layers that it came here without, `card` are the files of its card, `room` has
    the largest parts first, `files` is empty unless asked for. `model` is what its file is: onnx, or pickle
    or skops, which run the classes and functions `globals` when they are loaded."""

    reference: str
    name: str
    version: str
    digest: str
    registry: str
    labels: dict[str, str]
    row_labels: dict[str, str]
    engine: str
    model: str
    globals: tuple[str, ...]
    framework: str
    registered: str
    converter: dict[str, str]
    reduction: str | None
    fused: bool
    apart: str
    python: str
    platforms: tuple[str, ...]
    size: int
    layers: tuple[Layer, ...]
    absent: tuple[str, ...]
    card: tuple[str, ...]
    room: tuple[Room, ...]
    files: tuple[File, ...]
    inputs: tuple[Tensor, ...]
    reduced: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    requirements: tuple[Requirement, ...]
    golden_rows: int
    tolerance: dict[str, dict[str, float]]
    parity: Parity
    signatures: tuple[Signature, ...]
    origins: tuple[Origin, ...]
    quality: tuple[Attestation, ...]


def inspect(ctx: Context, ref: str | None = None, *, files: bool = False) -> Inspected:
    """Look into the bundle that `ref` stands for (None = the last build), with every file if asked for."""
    from mlship.bundle.models.mlflow import registered_in

    bundle = ctx.open_bundle(ref)
    spec, manifest = bundle.spec, bundle.manifest
    return Inspected(
        reference=str(bundle.reference),
        name=spec.name,
        version=spec.version,
        digest=bundle.digest,
        registry=bundle.registry.url,
        labels=dict(spec.labels),
        row_labels=dict(spec.golden.get("labels", {})),
        engine=spec.engine,
        model=spec.form,
        globals=tuple(spec.model.get("globals", ())),
        framework=spec.model["framework"],
        registered=registered_in(spec),
        converter=dict(spec.model["converter"]),
        reduction=reduction_of(spec),
        fused=bool(spec.reduction and spec.reduction.get("fused")),
        apart=str((spec.reduction or {}).get("apart", "")),
        python=spec.runtime["python"],
        platforms=manifest.platforms,
        size=sum(layer.size for layer in manifest.layers),
        layers=tuple(_layer(layer, spec) for layer in manifest.layers),
        absent=tuple(layer.title for layer in manifest.layers if layer.digest in bundle.absent),
        card=_card(manifest, spec),
        room=_room(manifest, spec),
        files=_files(manifest, spec) if files else (),
        inputs=_tensors(spec.inputs),
        reduced=_tensors(spec.reduced),
        outputs=_tensors(spec.outputs),
        requirements=_requirements(spec.runtime),
        golden_rows=spec.golden["rows"],
        tolerance={name: dict(limits) for name, limits in spec.tolerance.items()},
        parity=parity_of(spec.parity),
        signatures=signatures_of(ctx, bundle),
        origins=origins_of(ctx, bundle),
        quality=attestations_of(ctx, bundle),
    )


def reduction_of(spec: Spec) -> str | None:
    """What reduces, in a word."""
    said = spec.reduction
    if said is None:
        return None
    if said["kind"] == "python":
        return f"{said['module']}:{said['function']}"
    steps = said.get("steps", ())
    return f"the step{'s'[: len(steps) > 1]} {', '.join(steps)}" if steps else "an ONNX graph"


def _layer(layer: Descriptor, spec: Spec) -> Layer:
    return Layer(
        role=layer.role,
        title=layer.title,
        platform=layer.platform,
        size=layer.size,
        files=len(spec.files.get(layer.digest, ())),
        digest=layer.digest,
    )


def _room(manifest: Manifest, spec: Spec) -> tuple[Room, ...]:
    from mlship.bundle.audit.room import parts_of

    found = parts_of(manifest, spec)
    whole = sum(part.size for part in found) or 1
    return tuple(
        Room(part=part.name, platform=part.platform, size=part.size, share=round(part.size / whole, 4))
        for part in found
    )


def _card(manifest: Manifest, spec: Spec) -> tuple[str, ...]:
    card = [layer for layer in manifest.layers if layer.role == "card"]
    return tuple(entry.path for layer in card for entry in spec.files[layer.digest])


def _files(manifest: Manifest, spec: Spec) -> tuple[File, ...]:
    return tuple(
        File(layer=layer.title, path=entry.path, size=entry.size, sha256=entry.sha256)
        for layer in manifest.layers
        for entry in spec.files.get(layer.digest, ())
    )


def _tensors(tensors: tuple[TensorSpec, ...]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            name=t.name,
            datatype=t.datatype,
            shape=t.shape,
            nullable=t.nullable,
            classes=t.classes,
            seen=Seen(values=t.seen.values, min=t.seen.low, max=t.seen.high) if t.seen else None,
        )
        for t in tensors
    )


def _requirements(runtime: Any) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(platform=platform, name=found["name"], version=found["version"], sha256=found["sha256"])
        for platform, part in sorted(runtime["platforms"].items())
        for found in part["requirements"]
    )


def parity_of(parity: Any) -> Parity:
    """What a spec says of it."""
    return Parity(
        rows=parity["rows"],
        max_abs=parity["maxAbs"],
        max_rel=parity["maxRel"],
        decisions_equal=parity["decisionsEqual"],
    )
