"""How differences between bundles, and bundles in files, look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.views import brief, short, size, started

if TYPE_CHECKING:
    from mlship.ops.diff import Change, Difference, Side
    from mlship.ops.export import Exported
    from mlship.ops.import_bundle import Imported
    from mlship.ops.import_folder import ImportedProject

LISTED = 20  # weights that are named


def project(result: ImportedProject) -> Iterator[Block]:
    if result.copied:
        yield Line(f"from {result.source}: {', '.join(result.copied)}")
    if result.left_out:
        yield Line(f"not taken: {', '.join(result.left_out)}")
    yield from started(result)


def different(result: Difference) -> Iterator[Block]:
    if result.equal:
        yield Line(
            f"{brief(result.before.reference)} and {brief(result.after.reference)} are the same bundle"
        )
        yield Line(result.after.digest)
        return
    same = [layer for layer in result.layers if layer.state == "same"]
    yield Facts(
        [
            ("before", _side(result.before)),
            ("after", _side(result.after)),
            (
                "to send",
                f"{size(result.bytes_to_move)}; {len(same)} of {len(result.layers)} layers are there",
            ),
            ("golden", _golden(result)),
            ("weights", _weights(result)),
            ("parity", _parity(result)),
        ]
    )
    moved = [layer for layer in result.layers if layer.state != "same"]
    if moved:
        yield Table(
            "layers",
            ("", "role", "title", "size", "before", "after"),
            [
                (x.state, x.role, x.title, size(x.size), short(x.before or "-"), short(x.after or "-"))
                for x in moved
            ],
            frozenset({3}),
        )
    for title, changes in (("about", result.about), ("schema", result.schema), ("packages", result.packages)):
        if changes:
            yield _table(title, changes)
    weights = result.weights
    named = [(state, name) for state in ("changed", "added", "removed") for name in getattr(weights, state)]
    if named:
        more = len(named) - LISTED
        yield Table("weights", ("", "name"), named[:LISTED])
        if more > 0:
            yield Line(f"  and {more} more: --json lists them")
    if weights.operators:
        yield _table("operators", weights.operators)


def _side(side: Side) -> str:
    return f"{brief(side.reference)}, {size(side.size)}, {short(side.digest)}, {side.registry}"


def _golden(result: Difference) -> str:
    golden = result.golden
    moved = f", {golden.added} new, {golden.removed} gone" if golden.added or golden.removed else ""
    if not golden.changed:
        return f"the same answers to {golden.compared} rows{moved}"
    decisions = f", {golden.decisions} of them decided otherwise" if golden.decisions else ""
    return (
        f"{golden.changed} of {golden.compared} answers changed{decisions}, "
        f"by {golden.largest:.2g} at most{moved}"
    )


def _weights(result: Difference) -> str:
    weights = result.weights
    if weights.same_file:
        return "the same model"
    if weights.unreadable:
        return f"not compared: {weights.unreadable}"
    return (
        f"{len(weights.changed)} changed, {len(weights.added)} added, {len(weights.removed)} removed, "
        f"{weights.same} the same"
    )


def _parity(result: Difference) -> str:
    before, after = result.parity_before, result.parity_after
    return f"{before.max_abs:.2g} on {before.rows} rows, now {after.max_abs:.2g} on {after.rows}"


def _table(title: str, changes: Sequence[Change]) -> Table:
    return Table(title, ("", "before", "after"), [(x.what, x.before or "-", x.after or "-") for x in changes])


def exported(result: Exported) -> Iterator[Block]:
    yield Line(f"{brief(result.reference)} is in {result.file}")
    yield Facts(
        [
            ("digest", result.digest),
            ("size", size(result.size)),
            *([("runs on", ", ".join(result.platforms))] if result.platforms else []),
            *([("left out", ", ".join(result.left_out))] if result.left_out else []),
            *([("attached", f"{result.attachments} (signatures, provenance)")] if result.attachments else []),
        ]
    )


def imported(result: Imported) -> Iterator[Block]:
    yield Line(f"{brief(result.reference)} is in {result.destination}")
    yield Facts(
        [
            ("digest", result.digest),
            ("new", f"{size(result.sent_bytes)} in {result.sent_blobs} blobs"),
            ("there already", f"{size(result.present_bytes)} in {result.present_blobs} blobs"),
            *(
                [("attached", f"{result.sent_attachments} new (signatures, provenance)")]
                if result.sent_attachments
                else []
            ),
            *([("absent", ", ".join(result.absent))] if result.absent else []),
        ]
    )
