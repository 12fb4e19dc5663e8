"""Draw blocks as plain text: aligned columns, no colour, nothing overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlship.cli.blocks import Block, Facts, Line, Table

GAP = "  "


def draw(blocks: Iterable[Block]) -> str:
    """The text of `blocks`, with an empty line around each table."""
    pieces: list[str] = []
    before: Block | None = None
    for block in blocks:
        if before is not None and (isinstance(block, Table) or isinstance(before, Table)):
            pieces.append("")
        pieces += _piece(block)
        before = block
    return "".join(line + "\n" for line in pieces)


def _piece(block: Block) -> list[str]:
    if isinstance(block, Line):
        return [block.text]
    if isinstance(block, Facts):
        return columns(block.rows)
    titled = [block.title] if block.title else []
    return titled + columns(
        [block.header, *block.rows], right=block.right, indent="  " if block.title else ""
    )


def columns(
    rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: str = ""
) -> list[str]:
    """`rows` as lines of aligned columns; the last column is not padded."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    return [
        (indent + GAP.join(_cell(row[at], width, at in right) for at, width in enumerate(widths))).rstrip()
        for row in rows
    ]


def _cell(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
