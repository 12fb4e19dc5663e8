"""The last layer of an image: what its container needs to know, and the folders of the bundle.

All of it follows from the bundle, so whoever has the image can make it again and compare. Engines make
folders that no layer names for root alone (0600), hence the bundle's are named here, above its layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlship.digest import hex_of, sha256
from mlship.image.fit import ENTRY_FOLDER
from mlship.result import to_json
from mlship_runtime.bundle.manifest import ANY_PLATFORM, Descriptor, Manifest
from mlship_runtime.bundle.spec import Spec
from mlship_runtime.bundle.ustar import END, header, padding
from mlship_runtime.supervision.release_record import IN_IMAGE

MANIFEST, SPEC, CONFIG = (
    f"{ENTRY_FOLDER}/{name}" for name in ("manifest.json", "mlship.json", "config.json")
)
RELEASE = IN_IMAGE.lstrip("/")
SIGNATURES = f"{ENTRY_FOLDER}/signatures"
_ROOT = "/"
_FOLDER_MODE = b"0000755\0"


@dataclass(frozen=True)
class Carried:
    """The small parts of a bundle as they are, and the envelopes of its signatures."""

    manifest: bytes
    spec: bytes
    config: bytes
    signatures: tuple[bytes, ...]


def entry_layer(carried: Carried, manifest: Manifest, spec: Spec, platform: str) -> bytes:
    """The tar, the same for the same bundle, platform and signatures."""
    files = {
        MANIFEST: carried.manifest,
        SPEC: carried.spec,
        CONFIG: carried.config,
        RELEASE: to_json(release_record(manifest, spec, sha256(carried.manifest), platform)),
        **{f"{SIGNATURES}/{hex_of(sha256(data))}.json": data for data in carried.signatures},
    }
    paths = [
        *files,
        *(x.path for layer in manifest.layers_for(platform) for x in spec.files.get(layer.digest, ())),
    ]
    parts = [_folder(path) for path in _folders(paths)]
    for path, data in sorted(files.items()):
        parts.append(header(path, len(data)) + data + padding(len(data)))
    return b"".join(parts) + END


def layers_above(manifest: Manifest, platform: str) -> list[Descriptor]:
    """The bundle's layers that an image for `platform` has, the lowest first: the packages, mlship's own
    runtime, then the rest. Engines share a layer only where all below it are the same, and a new model must
    not cost the packages again."""

    def rank(layer: Descriptor) -> int:
        return ("", ANY_PLATFORM, platform)[::-1].index(layer.platform)

    return sorted((layer for layer in manifest.layers_for(platform) if layer.is_tar), key=rank)


def release_record(manifest: Manifest, spec: Spec, digest: str, platform: str) -> dict[str, object]:
    """What the runtime finds at the place where a host has its release record: all layers at the root."""
    layers = [layer.digest for layer in manifest.layers_for(platform) if layer.is_tar]
    return {
        "schemaVersion": 1,
        "number": 1,
        "service": spec.name,
        "digest": digest,
        "reference": f"{spec.name}:{spec.version}",
        "settings": {},
        "manifest": _ROOT + MANIFEST,
        "spec": _ROOT + SPEC,
        "layers": dict.fromkeys(layers, _ROOT),
        "platform": platform,
    }


def _folders(paths: Iterable[str]) -> Sequence[str]:
    """All folders above `paths`, each after the one that it is in."""
    found = {path[:end] for path in paths for end, char in enumerate(path) if char == "/"}
    return sorted(found)


def _folder(path: str) -> bytes:
    """The header of a folder: a file's, with another kind and mode."""
    block = header(path, 0)
    block = block[:100] + _FOLDER_MODE + block[108:148] + b" " * 8 + b"5" + block[157:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
