"""`mlship image push` and `save`: a bundle's image to another place, and as a file for engines."""

from __future__ import annotations

from pathlib import Path

from mlship.digest import sha256
from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.image_passage import image_passage, place_of_image
from mlship.ops.places import Places
from mlship.result import Result


class PushedImage(Result, frozen=True, kw_only=True):
    """An image that was copied."""

    source: str
    image: str
    digest: str
    bundle: str
    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int


class SavedImage(Result, frozen=True, kw_only=True):
    """An image in a file of `size` bytes, and what engines call it when they have loaded it."""

    image: str
    digest: str
    platform: str
    file: str
    size: int
    name: str


def push_image(ctx: Context, image: str, to: str) -> PushedImage:
    """Copy a bundle's image, of all its platforms, to another folder or registry. Raises UsageError,
    RegistryError, BundleError, and PolicyError where it may not go."""
    from mlship.image.opened import bundle_in, open_images, parts_of
    from mlship.image.places import parse_image
    from mlship.image.sending import send

    name = parse_image(image)
    data, images = open_images(name)
    bundle = bundle_in(images[0])
    there = parse_image(to, name.tag or bundle.spec.version)
    if there.digest:
        raise UsageError(f"{to} names a digest, which only content has", fix="Name a tag")
    place = there.open_to_write()
    with image_passage(
        ctx, bundle, place_of_image(ctx, name), place_of_image(ctx, there)
    ).open() as still_may:
        sent = send(parts_of(data, images), place, there.tag, ctx.progress, still_may)
    return PushedImage(
        source=str(name),
        image=str(there),
        digest=sha256(data),
        bundle=bundle.digest,
        sent_blobs=sent.sent_blobs,
        sent_bytes=sent.sent_bytes,
        present_blobs=sent.present_blobs,
        present_bytes=sent.present_bytes,
    )


def save_image(ctx: Context, image: str, file: Path, platform: str | None = None) -> SavedImage:
    """Write an image for one platform to `file`, for engines to load. Raises as `push_image`."""
    from mlship.image.archive import save_image as save
    from mlship.image.opened import bundle_in, open_images
    from mlship.image.places import parse_image

    name = parse_image(image)
    _, images = open_images(name, (platform,) if platform else ())
    if len(images) > 1:
        raise UsageError(
            f"{name} is for {' and '.join(x.platform for x in images)}", fix="Choose one with --platform"
        )
    bundle = bundle_in(images[0])
    called = bundle.spec.name, name.tag or bundle.spec.version
    places = Places(ctx)
    with image_passage(ctx, bundle, place_of_image(ctx, name), places.file(file)).open():
        size = save(images[0], file, *called, ctx.progress)
    return SavedImage(
        image=str(name),
        digest=images[0].digest,
        platform=images[0].platform,
        file=str(file),
        size=size,
        name=":".join(called),
    )
