"""`mlship image build`: a bundle over a base as a container image, made without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.image_passage import image_passage, place_of_image
from mlship.ops.places import Places
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.image.make import MadeImage
    from mlship.image.places import ImageName


class ImagePart(Result, frozen=True, kw_only=True):
    """An image for one platform: the digest of its manifest and of its base's, the interpreter in it, how
    many layers it has, and their `size` in bytes as they are stored, `base_size` of them the base's."""

    platform: str
    digest: str
    base: str
    python: str
    layers: int
    size: int
    base_size: int


class BuiltImage(Result, frozen=True, kw_only=True):
    """An image and where it is now. `base` is the base by its digest; `sent` are bytes that were written,
    `present` those that were there already."""

    reference: str
    bundle: str
    image: str
    digest: str
    base: str
    profile: str
    platforms: tuple[ImagePart, ...]
    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int


def build_image(
    ctx: Context,
    ref: str | None = None,
    *,
    base: str | None = None,
    platforms: Sequence[str] = (),
    profile: str = "oci",
    output: str | None = None,
    push: str | None = None,
) -> BuiltImage:
    """Make the image of `ref` (None = the last build) over `base` (None = [image] base), in the folder
    `output` (None = NAME-VERSION.oci) or as `push` in a registry.

    Raises UsageError for a base that does not fit, RegistryError for one that cannot be had, BundleError for
    damage, and PolicyError where it may not go; nothing is published then.
    """
    from mlship.image.forms import form_called
    from mlship.image.layout import LayoutFolder
    from mlship.image.make import make_image
    from mlship.image.places import parse_image
    from mlship.image.sending import send

    form = form_called(profile)
    if output is not None and push is not None:
        raise UsageError("--output and --push are two places", fix="Name one; mlship image push copies")
    settings = ctx.project.image if ctx.project else None
    wanted = base or (settings.base if settings else None)
    if not wanted:
        raise UsageError(
            "an image needs a base", fix="Name it with --base, or as `base` under [image] in mlship.toml"
        )
    bundle = ctx.open_bundle(ref)
    to = _destination(output, push, bundle.spec.name, bundle.spec.version)
    place = to.open_to_write()
    if isinstance(place, LayoutFolder):
        place.refuse_other()
    made = make_image(
        bundle, parse_image(wanted), form, platforms, settings.labels if settings else {}, ctx.progress
    )
    with image_passage(
        ctx, bundle, Places(ctx).registry(bundle.registry), place_of_image(ctx, to)
    ).open() as still_may:
        sent = send(made.parts, place, to.tag, ctx.progress, still_may)
    pinned = made.images[0].base
    if not pinned.name.digest:
        ctx.warnings.append(
            f"{pinned.name} may be another base tomorrow; pin it: base = "
            f'"{pinned.name.pinned(pinned.pinned)}" under [image]'
        )
    return BuiltImage(
        reference=str(bundle.reference),
        bundle=bundle.digest,
        image=str(to),
        digest=made.digest,
        base=pinned.name.pinned(pinned.pinned),
        profile=form.name,
        platforms=tuple(_part_of(one) for one in made.images),
        sent_blobs=sent.sent_blobs,
        sent_bytes=sent.sent_bytes,
        present_blobs=sent.present_blobs,
        present_bytes=sent.present_bytes,
    )


def _destination(output: str | None, push: str | None, name: str, version: str) -> ImageName:
    from mlship.image.places import parse_folder, parse_image

    if push is None:
        return parse_folder(output or f"{name}-{version}.oci", version)
    to = parse_image(push, version)
    if to.digest:
        raise UsageError(f"{push} names a digest, which only content has", fix="Name a tag")
    return to


def _part_of(made: MadeImage) -> ImagePart:
    from mlship.image.assemble import blobs_of

    *layers, _ = blobs_of(made.image)
    return ImagePart(
        platform=f"{made.config['os']}/{made.config['architecture']}",
        digest=made.image.digest,
        base=made.base.manifest.digest,
        python=made.python,
        layers=len(layers),
        size=sum(layer.size for layer in layers),
        base_size=sum(layer.size for layer in made.base.manifest.layers),
    )
