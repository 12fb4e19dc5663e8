"""An image as the bundle that it says it is: the small parts out of its last layer, the rest as they lie.

Everything is taken from the image, and nothing on its word: the last layer is made again from the bundle's
manifest and compared, the layers below must be the bundle's, and the config what mlship writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.bundle.source import Attachment
from mlship.digest import checked, sha256
from mlship.errors import BundleError, RegistryError, UsageError
from mlship.image.assemble import BASE, BUNDLE, PLATFORM, container_settings
from mlship.image.base_files import PYTHON
from mlship.image.documents import Blob, ImageManifest, Listed, index_type, read_config, read_document
from mlship.image.entry import CONFIG, MANIFEST, SIGNATURES, SPEC, Carried, entry_layer, layers_above
from mlship.image.layers import OpenLayer
from mlship.image.places import ImageName, ImagePlace, read_digest, read_named
from mlship.image.sending import Parts
from mlship.image.tar_headers import FILE, entries
from mlship.reference import Reference
from mlship.registry.oci.repository import Repository
from mlship_runtime.bundle.manifest import read_manifest
from mlship_runtime.bundle.ustar import CHUNK
from mlship_runtime.trust.envelope import MEDIA_TYPE

_MAX_ENTRY = 256 << 20  # bytes of the last layer


@dataclass(frozen=True)
class OpenImage:
    """One image for one platform, its config read. `digest` is that of its manifest."""

    name: ImageName
    place: ImagePlace
    manifest: ImageManifest
    config: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def settings(self) -> dict[str, Any]:
        return self.config.get("config") or {}

    @property
    def labels(self) -> dict[str, str]:
        found = self.settings.get("Labels")
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    @property
    def diff_ids(self) -> list[str]:
        found: list[str] = self.config["rootfs"]["diff_ids"]
        return found

    def layer(self, position: int) -> OpenLayer:
        """A layer unpacked: engines compress what they push, which changes nothing but its digest."""
        return OpenLayer(self.place, self.manifest.layers[position], self.diff_ids[position])

    @property
    def platform(self) -> str:
        """`linux/amd64`."""
        return f"{self.config['os']}/{self.config['architecture']}"

    @property
    def base(self) -> str:
        """The digest of its base, as it says itself."""
        return self.labels.get(BASE, "")

    def layers_of_base(self) -> tuple[Blob, ...]:
        """Those below the bundle's, by the manifest in the last layer; all of an image that is none of
        ours."""
        if BUNDLE not in self.labels:
            return self.manifest.layers
        platform = self.labels.get(PLATFORM, "")
        own = layers_above(bundle_in(self).manifest, platform)
        return self.manifest.layers[: max(0, len(self.manifest.layers) - len(own) - 1)]


def parts_of(data: bytes, images: list[OpenImage]) -> Parts:
    """What is to be brought somewhere, of the images that the document `data` names (or is)."""
    place = images[0].place
    documents = [(one.manifest.data, one.manifest.media_type) for one in images]
    if data != documents[-1][0]:
        documents.append((data, index_type(data)))
    blobs = {x.digest: x for one in images for x in (*one.manifest.layers, one.manifest.config)}
    near = (place.address.root, place.name) if isinstance(place, Repository) else None
    return Parts(
        documents,
        list(blobs.values()),
        lambda blob: lambda: place.blob(blob.digest, blob.size),
        lambda _: near,
    )


def open_images(name: ImageName, words: tuple[str, ...] = ()) -> tuple[bytes, list[OpenImage]]:
    """What `name` names, and its images for the platforms `words` (`linux/amd64`; none: all). Raises
    RegistryError for what is not there or damaged, UsageError for a platform that it has not."""
    place = name.open()
    data = read_named(place, name)
    document = read_document(data, f"the image {name}")
    if isinstance(document, ImageManifest):
        found = [_opened(name, place, document)]
    else:
        listed = [x for x in document if not words or f"{x.system}/{x.processor}" in words]
        found = [_of_index(name, place, x) for x in listed if x.system not in ("", "unknown")]
    there = [image for image in found if not words or image.platform in words]
    missing = sorted(set(words) - {image.platform for image in there})
    if missing or not there:
        raise UsageError(f"the image {name} is not for {', '.join(missing) or 'any platform'}")
    return data, there


def _of_index(name: ImageName, place: ImagePlace, listed: Listed) -> OpenImage:
    document = read_document(read_digest(place, listed.blob.digest), f"the image {name}")
    if not isinstance(document, ImageManifest):
        raise RegistryError(f"the image {name} is an index of indexes", fix="Name an image by its digest")
    return _opened(name, place, document)


def _opened(name: ImageName, place: ImagePlace, manifest: ImageManifest) -> OpenImage:
    data = _whole(place, manifest.config)
    config = read_config(data, f"the config of {name}")
    if len(config["rootfs"]["diff_ids"]) != len(manifest.layers):
        raise RegistryError(f"the config of {name} lists other layers than its manifest")
    return OpenImage(name, place, manifest, config)


def bundle_in(image: OpenImage) -> OpenBundle:
    """The bundle whose layers the image has, not verified but for its manifest and spec. Raises BundleError
    for an image that has none, or others than its last layer tells of."""
    files = _entry_files(image)
    try:
        manifest, spec, config = (files[path] for path in (MANIFEST, SPEC, CONFIG))
    except KeyError as error:
        raise _no_bundle(image, f"its last layer has no {error.args[0]}") from error
    signatures = tuple(sorted(data for path, data in files.items() if path.startswith(f"{SIGNATURES}/")))
    source = _Source(image, Carried(manifest, spec, config, signatures))
    with as_bundle_error():
        name = read_manifest(manifest).name
    return open_bundle(source, Reference(name, digest=sha256(manifest)))


def check_made(image: OpenImage, bundle: OpenBundle) -> None:
    """Raise BundleError unless the image is what mlship makes of `bundle` and some base: its layers in order
    above the base's, the entry layer of this bundle, and the config that starts it and nothing else."""
    source = bundle.registry
    assert isinstance(source, _Source)  # noqa: S101 - `bundle_in` made it
    platform = image.labels.get(PLATFORM, "")
    if image.labels.get(BUNDLE) != bundle.digest or platform not in bundle.manifest.platforms:
        raise _no_bundle(image, f"its labels {BUNDLE} and {PLATFORM} are of another one")
    expected = [layer.digest for layer in layers_above(bundle.manifest, platform)]
    entry = entry_layer(source.carried, bundle.manifest, bundle.spec, platform)
    expected.append(sha256(entry))
    if image.diff_ids[-len(expected) :] != expected or len(image.diff_ids) <= len(expected):
        raise _no_bundle(image, "its layers are not the bundle's above a base")
    _check_settings(image)


def _check_settings(image: OpenImage) -> None:
    settings = {key: value for key, value in image.settings.items() if key != "Labels"}
    start = settings.get("Entrypoint")
    python = str(start[0]) if isinstance(start, list) and start else ""
    said = settings.get("Env")
    path = str(said[0]).removeprefix("PATH=") if isinstance(said, list) and said else ""
    right = container_settings(python, path)
    odd = sorted(key for key in {*settings, *right} if settings.get(key) != right.get(key))
    if odd or not python.startswith("/") or not PYTHON.fullmatch(python.rpartition("/")[2]):
        raise _no_bundle(image, f"it is started otherwise than mlship does it: {', '.join(odd) or python!a}")


def _entry_files(image: OpenImage) -> dict[str, bytes]:
    if BUNDLE not in image.labels:
        raise _no_bundle(image, "mlship has not made it")
    layer, found, size = image.layer(-1), {}, 0
    for entry, reader in entries(layer, str(layer)):
        size += entry.size
        if size > _MAX_ENTRY:
            raise _no_bundle(image, f"its last layer has more than {_MAX_ENTRY} bytes")
        if entry.kind == FILE:
            found[entry.path] = b"".join(iter(lambda: reader.read(CHUNK), b""))  # noqa: B023
    layer.finish()
    return found


def _whole(place: ImagePlace, blob: Blob) -> bytes:
    return b"".join(checked(place.blob(blob.digest, blob.size), blob.digest, blob.size))


def _no_bundle(image: OpenImage, why: str) -> BundleError:
    return BundleError(f"the image {image.name} is not one of a bundle as mlship makes them", cause=why)


class _Source:
    """The image as a place of bundles (BundleSource, KeepsParts) that has this one alone."""

    def __init__(self, image: OpenImage, carried: Carried) -> None:
        self.image, self.carried = image, carried
        self._small = {sha256(data): data for data in (carried.spec, carried.config)}
        self._there = {diff_id: position for position, diff_id in enumerate(image.diff_ids)}

    @property
    def url(self) -> str:
        return f"the image {self.image.name}"

    def resolve(self, reference: Reference) -> str:
        return sha256(self.carried.manifest)

    def read_manifest(self, name: str, digest: str) -> bytes:
        return self.carried.manifest

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        if digest in self._small:
            return iter((self._small[digest],))
        if digest not in self._there:
            raise BundleError(f"{self.url} lacks the blob {digest[:19]}…")
        layer = self.image.layer(self._there[digest])
        return iter(lambda: layer.read(CHUNK), b"")

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        return [Attachment(MEDIA_TYPE, sha256(data), len(data)) for data in self.carried.signatures]

    def read_attachment(self, name: str, attachment: Attachment) -> bytes:
        return next(data for data in self.carried.signatures if sha256(data) == attachment.digest)

    def absent(self, name: str, digest: str) -> frozenset[str]:
        """The layers of other platforms than the image's."""
        with as_bundle_error():
            manifest = read_manifest(self.carried.manifest)
        platform = self.image.labels.get(PLATFORM, "")
        wanted = {layer.digest for layer in manifest.layers_for(platform)}
        return frozenset(layer.digest for layer in manifest.layers) - wanted
