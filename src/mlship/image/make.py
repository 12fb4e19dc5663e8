"""Makes an image out of an opened bundle and a base: checked, assembled, and each of its blobs findable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlship.bundle.exchange.layout import chosen
from mlship.bundle.open import OpenBundle
from mlship.digest import sha256
from mlship.errors import BundleError, UsageError
from mlship.image.assemble import Assembled, Ingredients, assemble, assemble_index, blobs_of, check_labels
from mlship.image.base import Base, find_bases, look_through
from mlship.image.documents import Blob
from mlship.image.entry import Carried, entry_layer, layers_above
from mlship.image.fit import fitting_python
from mlship.image.forms import Form
from mlship.image.places import ImageName
from mlship.image.sending import Parts
from mlship.progress import SILENT, Progress
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.oci.repository import Repository
from mlship_runtime.bundle.manifest import Descriptor
from mlship_runtime.platforms import Platform, read_platform
from mlship_runtime.trust.envelope import MEDIA_TYPE

_STARTS = "runtime/any/mlship_runtime/supervision/container.py"
Opened = Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class MadeImage:
    """One image for one platform: the documents, its base, and the new layer."""

    image: Assembled
    base: Base
    platform: str
    python: str
    entry: bytes
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """`data` (of `media_type`) is what a tag shall name: the manifest, or the index of several."""

    bundle: OpenBundle
    images: tuple[MadeImage, ...]
    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return sha256(self.data)

    @property
    def documents(self) -> list[tuple[bytes, str]]:
        """Manifests, then the index if there is one: in this order they can be written."""
        found = [(made.image.manifest, made.image.form.manifest) for made in self.images]
        return found if self.data == found[-1][0] else [*found, (self.data, self.media_type)]

    @property
    def blobs(self) -> dict[str, Blob]:
        """All that they name, by digest."""
        return {blob.digest: blob for made in self.images for blob in blobs_of(made.image)}

    def source(self, digest: str) -> Base | OpenBundle | bytes:
        """Where a blob comes from: a base, the bundle, or here."""
        for made in self.images:
            if digest in (sha256(made.entry), sha256(made.image.config)):
                return made.entry if digest == sha256(made.entry) else made.image.config
            if any(layer.digest == digest for layer in made.base.manifest.layers):
                return made.base
        return self.bundle

    def content(self, blob: Blob) -> Opened:
        """What gives the blob's bytes anew with each call; not compared with its digest yet."""
        source = self.source(blob.digest)
        if isinstance(source, bytes):
            return lambda: [source]
        if isinstance(source, Base):
            return lambda: source.place.blob(blob.digest, blob.size)
        return lambda: source.registry.read_blob(source.reference.name, blob.digest, blob.size)

    def near(self, digest: str) -> tuple[str, str] | None:
        """The registry and repository that a blob comes from, if it comes from one."""
        source = self.source(digest)
        if isinstance(source, Base) and isinstance(source.place, Repository):
            return source.place.address.root, source.place.name
        if isinstance(source, OpenBundle) and isinstance(source.registry, OciRegistry):
            there = source.registry.address
            return there.root, there.repository(source.reference.name)
        return None

    @property
    def parts(self) -> Parts:
        """What is to be brought somewhere."""
        return Parts(self.documents, list(self.blobs.values()), self.content, self.near)


def make_image(
    bundle: OpenBundle,
    base: ImageName,
    form: Form,
    words: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> Made:
    """The image of `bundle` over `base`, for the platforms that `words` name (none: all that containers run).

    Nothing is written. Raises UsageError for a base that does not fit and a platform that is not there,
    RegistryError for a base that cannot be had, BundleError for a bundle that cannot be an image.
    """
    check_labels(labels or {})
    platforms = _platforms(bundle, words, form)
    _refuse_old(bundle)
    bases = find_bases(base, [(x.system, x.processor) for x in platforms], progress)
    carried = Carried(
        bundle.manifest_bytes,
        b"".join(bundle.blob(bundle.manifest.spec_layer.digest)),
        b"".join(bundle.blob(bundle.manifest.config.digest)),
        tuple(sorted(set(bundle.attached(MEDIA_TYPE)))),
    )
    images = tuple(
        _made(bundle, one, platform, carried, form, labels or {}, progress)
        for one, platform in zip(bases, platforms, strict=True)
    )
    if len(images) == 1:
        return Made(bundle, images, images[0].image.manifest, form.manifest)
    data = assemble_index([(made.image, made.config) for made in images], form)
    return Made(bundle, images, data, form.index)


def image_layers(bundle: OpenBundle, platform: str) -> list[Descriptor]:
    """The bundle's layers that an image for `platform` has."""
    return layers_above(bundle.manifest, platform)


def _made(
    bundle: OpenBundle,
    base: Base,
    wanted: Platform,
    carried: Carried,
    form: Form,
    labels: Mapping[str, str],
    progress: Progress,
) -> MadeImage:
    platform = str(wanted)
    python = fitting_python(base, look_through(base, progress), wanted)
    layers = image_layers(bundle, platform)
    absent = [layer.title for layer in layers if layer.digest in bundle.absent]
    if absent:
        raise BundleError(
            f"{', '.join(absent)} of {bundle.reference} is not in {bundle.registry.url}",
            cause="it was imported or pulled for some platforms only",
            fix="Pull it from where it is whole",
        )
    entry = entry_layer(carried, bundle.manifest, bundle.spec, platform)
    said = Ingredients(
        base=base.manifest,
        base_config=base.config,
        search_path=base.search_path,
        python=python,
        bundle=bundle.digest,
        name=bundle.spec.name,
        version=bundle.spec.version,
        platform=platform,
        layers=layers,
        entry=entry,
        labels=labels,
    )
    return MadeImage(assemble(said, form), base, platform, python, entry, base.config)


def _platforms(bundle: OpenBundle, words: Sequence[str], form: Form) -> list[Platform]:
    """Those of the bundle that containers run. Raises UsageError."""
    found = [read_platform(text) for text in chosen(bundle.manifest, words)]
    known = [platform for platform in found if platform is not None and platform.system == "linux"]
    if not known:
        raise UsageError(
            f"{bundle.reference} is for no platform that containers run",
            cause=f"it has {', '.join(bundle.manifest.platforms) or 'none of its own'}",
            fix="Add linux/amd64 to [runtime] platforms, then build again",
        )
    if len(known) > 1 and not form.index:
        raise UsageError(
            f"an image of the profile {form.name} is for one platform",
            cause=f"the bundle has {', '.join(map(str, known))}",
            fix="Choose one with --platform",
        )
    return known


def _refuse_old(bundle: OpenBundle) -> None:
    if not any(entry.path == _STARTS for files in bundle.spec.files.values() for entry in files):
        raise BundleError(
            f"the runtime in {bundle.reference} does not know how to run in a container",
            cause="it was built by an older mlship",
            fix="Run: mlship build",
        )
