"""How container images look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.views import brief, short, size

if TYPE_CHECKING:
    from mlship.ops.image_build import BuiltImage, ImagePart
    from mlship.ops.image_copy import PushedImage, SavedImage
    from mlship.ops.image_verify import ShownImage, VerifiedImage


def built(result: BuiltImage) -> Iterator[Block]:
    yield Line(f"{brief(result.reference)} is the image {result.image}")
    yield Facts([("digest", result.digest), ("base", result.base), *_moved(result)])
    yield _platforms(result.platforms)


def pushed(result: PushedImage) -> Iterator[Block]:
    yield Line(f"{result.source} is in {result.image}")
    yield Facts([("digest", result.digest), *_moved(result)])


def saved(result: SavedImage) -> Iterator[Block]:
    yield Line(f"{result.image} is in {result.file}; loaded, it is called {result.name}")
    yield Facts([("digest", result.digest), ("platform", result.platform), ("size", size(result.size))])


def shown(result: ShownImage) -> Iterator[Block]:
    yield Line(result.image)
    yield Facts(
        [
            ("digest", result.digest),
            ("bundle", result.bundle or "none"),
            ("starts", " ".join(result.command)),
            *sorted(result.labels.items()),
        ]
    )
    yield _platforms(result.platforms)


def verified(result: VerifiedImage) -> Iterator[Block]:
    yield Line(f"{result.image} is {result.reference}, whole and nothing else above its base")
    signed = f"by {result.signed_by[:12]}" if result.signed_by else "not asked (--key)"
    compared = "compared" if result.base_checked else "as the image says; not compared (--base)"
    yield Facts(
        [
            ("digest", result.digest),
            ("bundle", result.bundle),
            ("read", f"{result.files} files, {size(result.bytes)}"),
            ("runs on", ", ".join(result.platforms)),
            ("signed", signed),
            ("base", f"{', '.join(result.bases)} ({compared})"),
        ]
    )


def _moved(result: BuiltImage | PushedImage) -> list[tuple[str, str]]:
    return [
        ("written", f"{size(result.sent_bytes)} in {result.sent_blobs} blobs"),
        ("there already", f"{size(result.present_bytes)} in {result.present_blobs} blobs"),
    ]


def _platforms(parts: Sequence[ImagePart]) -> Table:
    return Table(
        "platforms",
        ("platform", "digest", "base", "layers", "size", "of the base", "python"),
        [
            (
                x.platform,
                short(x.digest),
                short(x.base or "-"),
                str(x.layers),
                size(x.size),
                size(x.base_size),
                x.python,
            )
            for x in parts
        ],
        frozenset({3, 4, 5}),
    )
