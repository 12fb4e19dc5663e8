"""Base and bundle make an image: manifest, config and entry layer, as a pure function of what goes in.

No clock, no file, no network. The layers of both are named as they are; only the entry layer is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlship.digest import sha256
from mlship.errors import UsageError
from mlship.image.documents import Blob, ImageManifest
from mlship.image.forms import Form, layer_type_in
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.manifest import MAX_LAYERS, Descriptor
from mlship_runtime.supervision.launch import BOOT
from mlship_runtime.supervision.listening import PORT_OF_CONTAINER

BEFORE_ALL = "1970-01-01T00:00:00Z"
BUNDLE = "vnd.mlship.bundle"  # the digest of the bundle whose layers follow those of the base
PLATFORM = "vnd.mlship.platform"
BASE = "org.opencontainers.image.base.digest"
OURS = "org.opencontainers.image."
USER = "65532:65532"  # nobody's: the number that images without a root are used to
TEMPORARY = "/tmp"  # noqa: S108  the one folder that is written to
_SECOND = 1_000_000_000  # nanoseconds
_FIXED = (BUNDLE, PLATFORM, BASE, f"{OURS}title", f"{OURS}version")


@dataclass(frozen=True)
class Ingredients:
    """`layers` are the bundle's for this platform, `entry` the layer above them, `python` the interpreter's
    path; `name` and `version` the bundle's; `labels` those that its owner adds."""

    base: ImageManifest
    base_config: Mapping[str, Any]
    search_path: str
    python: str
    bundle: str
    name: str
    version: str
    platform: str
    layers: Sequence[Descriptor]
    entry: bytes
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Assembled:
    """One image for one platform, as bytes."""

    manifest: bytes
    config: bytes
    form: Form

    @property
    def digest(self) -> str:
        return sha256(self.manifest)


def assemble(said: Ingredients, form: Form) -> Assembled:
    """The image. Raises UsageError for more layers than engines take, and for labels that are ours to set."""
    check_labels(said.labels)
    base = [
        {"mediaType": layer_type_in(form, layer.media_type), "digest": layer.digest, "size": layer.size}
        for layer in said.base.layers
    ]
    ours = [*((x.digest, x.size) for x in said.layers), (sha256(said.entry), len(said.entry))]
    layers = [*base, *({"mediaType": form.plain, "digest": x, "size": size} for x, size in ours)]
    if len(layers) > MAX_LAYERS:
        raise UsageError(
            f"the image would have {len(layers)} layers, {len(base)} of them the base's",
            cause=f"engines refuse more than {MAX_LAYERS}",
            fix="Use a base with fewer",
        )
    config = _config(said, [digest for digest, _ in ours])
    data = canonical.encode(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": form.manifest,
        "config": {"mediaType": form.config, "digest": sha256(data), "size": len(data)},
        "layers": layers,
    }
    if form.index:  # Docker's schema 2 has no annotations
        manifest["annotations"] = config["config"]["Labels"]
    return Assembled(canonical.encode(manifest), data, form)


def assemble_index(images: Sequence[tuple[Assembled, Mapping[str, Any]]], form: Form) -> bytes:
    """The index of images, each with its config. Raises UsageError where the form has none."""
    if not form.index:
        raise UsageError(
            f"an image of the profile {form.name} is for one platform", fix="Choose it with --platform"
        )
    listed = []
    for image, config in images:
        platform = {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}
        blob = {"mediaType": form.manifest, "digest": image.digest, "size": len(image.manifest)}
        listed.append({**blob, "platform": platform})
    return canonical.encode({"schemaVersion": 2, "mediaType": form.index, "manifests": listed})


def entry_point(python: str) -> list[str]:
    """Starts the runtime, isolated from all that the base's Python has beside its library. No shell."""
    isolated = [python, "-I", "-S", "-B", "-u", "-X", f"pycache_prefix={TEMPORARY}/mlship-pycache"]
    return [*isolated, f"/{BOOT}", "container"]


def container_settings(python: str, search_path: str) -> dict[str, Any]:
    """What a container of such an image does, but for its labels. Nothing is taken over from the base but
    PATH: neither its user, its volumes nor what its variables would do to Python or the linker."""
    start = entry_point(python)
    return {
        "User": USER,
        "ExposedPorts": {f"{PORT_OF_CONTAINER}/tcp": {}},
        "Env": [f"PATH={search_path}", "LANG=C.UTF-8", f"TMPDIR={TEMPORARY}", f"HOME={TEMPORARY}"],
        "Entrypoint": start,
        "Cmd": ["serve"],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "Healthcheck": {
            "Test": ["CMD", *start, "health"],
            "Interval": 10 * _SECOND,
            "Timeout": 10 * _SECOND,
            "StartPeriod": 60 * _SECOND,
            "Retries": 3,
        },
    }


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise UsageError for one that mlship sets itself."""
    taken = sorted(set(labels).intersection(_FIXED))
    if taken:
        raise UsageError(f"the label {taken[0]} is set by mlship", fix="Leave it out")


def _config(said: Ingredients, ours: Sequence[str]) -> dict[str, Any]:
    base = said.base_config
    above = [f"mlship: {layer.title}" for layer in said.layers] + ["mlship: entry"]
    labels = {
        **said.labels,
        BUNDLE: said.bundle,
        PLATFORM: said.platform,
        BASE: said.base.digest,
        f"{OURS}title": said.name,
        f"{OURS}version": said.version,
    }
    return {
        "architecture": base["architecture"],
        "os": base["os"],
        **({"variant": base["variant"]} if isinstance(base.get("variant"), str) else {}),
        "created": BEFORE_ALL,
        "config": {**container_settings(said.python, said.search_path), "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [*base["rootfs"]["diff_ids"], *ours]},
        "history": [
            *_history_of(said),
            *({"created": BEFORE_ALL, "created_by": text} for text in above),
        ],
    }


def _history_of(said: Ingredients) -> list[dict[str, Any]]:
    """The base's, where it tells of as many layers as there are; else one line for each."""
    found = said.base_config.get("history")
    count = len(said.base.layers)
    told = [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []
    if sum(not entry.get("empty_layer") for entry in told) == count:
        return told
    return [{"created": BEFORE_ALL, "created_by": "the base"} for _ in range(count)]


def blobs_of(image: Assembled) -> list[Blob]:
    """Every layer that the manifest names, and the config."""
    top = canonical.decode(image.manifest)
    return [Blob(x["mediaType"], x["digest"], x["size"]) for x in (*top["layers"], top["config"])]
