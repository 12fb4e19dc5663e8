"""An image on its way somewhere, held against the policies of domains: it has the bundle in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.ops.context import Context
from mlship.ops.crossing import Passage, labels_of
from mlship.ops.places import Place, Places

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.image.places import ImageName


def image_passage(ctx: Context, bundle: OpenBundle, source: Place, to: Place) -> Passage:
    """Of the bundle in an image."""
    return Passage(
        ctx,
        "image",
        source,
        to,
        (str(bundle.reference), bundle.digest),
        lambda: labels_of(bundle.spec),
        labelled=bundle.manifest.is_labelled,
        places=Places(ctx),
    )


def place_of_image(ctx: Context, name: ImageName) -> Place:
    """Where an image lies: a folder is a file to policies, a repository belongs to the registry of bundles
    that it is in. Raises UsageError for one in an engine."""
    from pathlib import Path

    from mlship.registry import open_registry

    places = Places(ctx)
    name.refuse_engine()
    if name.is_folder:
        return places.file(Path(name.place))
    parent, _, _ = name.place.rpartition("/")
    return places.registry(open_registry(parent))
