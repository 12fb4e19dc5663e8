"""`mlship image inspect` and `verify`: what an image says of itself, and whether it is so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlship.digest import sha256
from mlship.errors import BundleError
from mlship.ops.context import Context
from mlship.ops.image_build import ImagePart
from mlship.ops.signatures import check_signed
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.image.opened import OpenImage
    from mlship.image.places import ImageName


class ShownImage(Result, frozen=True, kw_only=True):
    """What an image says of itself; nothing of it is checked. `bundle` is empty where it is none of ours."""

    image: str
    digest: str
    bundle: str
    labels: dict[str, str]
    command: tuple[str, ...]
    platforms: tuple[ImagePart, ...]


class VerifiedImage(Result, frozen=True, kw_only=True):
    """What was found right: the bundle in it, its files and bytes over all platforms, the key that has signed
    it (None: not asked), and the base that the image names; `base_checked` if it was compared with that."""

    image: str
    digest: str
    reference: str
    bundle: str
    platforms: tuple[str, ...]
    files: int
    bytes: int
    signed_by: str | None
    bases: tuple[str, ...]
    base_checked: bool


def inspect_image(ctx: Context, image: str) -> ShownImage:
    """What an image, of whomever, says of itself. Raises RegistryError, UsageError."""
    from mlship.image.assemble import BUNDLE
    from mlship.image.opened import open_images
    from mlship.image.places import parse_image

    name = parse_image(image)
    data, images = open_images(name)
    first = images[0]
    started = [*(first.settings.get("Entrypoint") or ()), *(first.settings.get("Cmd") or ())]
    return ShownImage(
        image=str(name),
        digest=sha256(data),
        bundle=first.labels.get(BUNDLE, ""),
        labels=first.labels,
        command=tuple(map(str, started)),
        platforms=tuple(_shown(one) for one in images),
    )


def verify_image(
    ctx: Context,
    image: str,
    keys: Sequence[str] = (),
    *,
    base: str | None = None,
    platforms: Sequence[str] = (),
) -> VerifiedImage:
    """Prove from the image alone that what lies above its base is one bundle, whole, and started as mlship
    does; with `keys`, that one of them has signed it; with `base`, that the rest is that base.

    Raises BundleError for the first thing that is wrong, RegistryError for what cannot be read.
    """
    from mlship.bundle.open import verify_bundle
    from mlship.image.opened import bundle_in, check_made, open_images
    from mlship.image.places import parse_image

    name = parse_image(image)
    data, images = open_images(name, tuple(platforms))
    files, size, signed_by = 0, 0, None
    bundle = bundle_in(images[0])
    for one in images:
        bundle_of_one = bundle_in(one)
        if bundle_of_one.digest != bundle.digest:
            raise BundleError(f"the image {name} has another bundle for {one.platform} than for the first")
        check_made(one, bundle_of_one)
        signed_by = check_signed(ctx, bundle_of_one, keys) if keys else None
        ctx.progress.phase(
            f"verifying {one.platform}", sum(x.size for x in one.manifest.layers), unit="bytes"
        )
        verified = verify_bundle(bundle_of_one, ctx.progress)
        files, size = files + verified.files, size + verified.bytes
        if base:
            _check_base(one, parse_image(base))
    return VerifiedImage(
        image=str(name),
        digest=sha256(data),
        reference=f"{bundle.spec.name}:{bundle.spec.version}",
        bundle=bundle.digest,
        platforms=tuple(one.platform for one in images),
        files=files,
        bytes=size,
        signed_by=signed_by,
        bases=tuple(one.base for one in images),
        base_checked=base is not None,
    )


def _check_base(image: OpenImage, name: ImageName) -> None:
    from mlship.image.base import find_bases

    system, _, processor = image.platform.partition("/")
    (base,) = find_bases(name, [(system, processor)])
    if image.diff_ids[: len(image.layers_of_base())] != base.diff_ids:
        raise BundleError(
            f"the image {image.name} is not made over {name}",
            cause=f"it names {image.base[:19]}…, and that base is {base.manifest.digest[:19]}…",
        )


def _shown(image: OpenImage) -> ImagePart:
    layers = image.manifest.layers
    own = len(layers) - len(image.layers_of_base())
    start = image.settings.get("Entrypoint") or ("",)
    return ImagePart(
        platform=image.platform,
        digest=image.digest,
        base=image.base,
        python=str(start[0]),
        layers=len(layers),
        size=sum(layer.size for layer in layers),
        base_size=sum(layer.size for layer in layers[: len(layers) - own]),
    )
