"""How what is done to registries is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.views import short, size

if TYPE_CHECKING:
    from mlship.ops.copy import Mirrored
    from mlship.ops.fsck import FsckReport
    from mlship.ops.gc import Swept
    from mlship.ops.list import TagHistory
    from mlship.ops.promote import Promoted
    from mlship.ops.untag import Untagged


def mirrored(result: Mirrored) -> Iterator[Block]:
    if not result.bundles:
        yield Line("nothing to copy: no tags there")
        return
    rows = [
        (one.reference, short(one.digest), size(one.sent_bytes), size(one.present_bytes))
        for one in result.bundles
    ]
    yield Table(f"in {result.bundles[0].destination}", ("bundle", "digest", "sent", "there already"), rows)


def moved(result: TagHistory) -> Iterator[Block]:
    rows = [
        (move.at, move.reference, short(move.digest), move.by, move.source or "-") for move in result.moves
    ]
    yield Table("", ("when", "tag", "digest", "by", "from"), rows)


def promoted(result: Promoted) -> Iterator[Block]:
    before = "" if result.before in (None, result.digest) else f" (it was {short(str(result.before))})"
    yield Line(f"{result.reference} is {result.digest}{before}")
    if result.gates:
        yield Facts([(passed.gate, passed.found) for passed in result.gates])
    else:
        yield Line("nothing was required of it; --require does that")
    if not result.remembered:
        yield Line("this registry does not keep who moved the tag, when and from where")


def untagged(result: Untagged) -> Iterator[Block]:
    yield Line(f"{result.reference} is gone from {result.registry}; it named {result.digest}")
    if result.tags:
        yield Line(f"still named by {', '.join(result.tags)}")
    else:
        yield Line("no tag names that bundle any more: mlship gc removes it")


def swept(result: Swept) -> Iterator[Block]:
    for one in result.registries:
        said = "would be removed" if result.dry_run else "removed"
        yield Line(
            f"{one.registry}: {len(one.bundles)} bundles and {one.blobs} blobs, {size(one.bytes)}, {said}"
        )
        for bundle in one.bundles:
            yield Line(f"  {bundle}")


def checked(result: FsckReport) -> Iterator[Block]:
    for one in result.registries:
        state = "whole" if one.ok else "DAMAGED"
        yield Line(
            f"{one.registry}: {state}; {one.bundles} bundles, {one.tags} tags, {one.blobs} blobs, "
            f"{size(one.bytes)} read"
        )
        for damage in one.damage:
            yield Line(f"  {'repaired' if damage.repaired else 'damaged '}  {damage.key}: {damage.why}")
    if not result.ok:
        yield Line("mlship fsck --repair --from REGISTRY fetches what is damaged from where it is whole")
