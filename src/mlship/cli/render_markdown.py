"""Draw blocks as Markdown, as GitHub and GitLab show it. What is drawn stays text: names, labels and errors
come from others, and nothing of them becomes a link, a tag, a row of a table or a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from mlship.cli.blocks import Block, Facts, Line, Table

MOST_ROWS = 100  # of a table: GitHub takes 1 MiB from a step
LONGEST = 400  # of one text, in characters
_ACTIVE = re.compile(r"[\\`*_{}\[\]<>#|~&!$]")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_LIST = re.compile(r"^([-+=]|\d+(?=[.)]))")


def draw(blocks: Iterable[Block]) -> str:
    """Paragraphs and tables, each followed by an empty line."""
    return "".join(f"{piece}\n\n" for block in blocks for piece in _pieces(block))


def escape(text: str) -> str:
    """`text` in one line, so that Markdown shows it as it stands."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    words = " ".join(printable.split())
    words = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
    return _MENTION.sub("@<!-- -->", _ACTIVE.sub(r"\\\g<0>", words))


def paragraph(text: str) -> str:
    """`escape`, where it begins a line: no list and no ruler."""
    return _LIST.sub(_not_a_list, escape(text))


def _not_a_list(found: re.Match[str]) -> str:
    mark = found[1]
    return mark + "\\" if mark[0].isdigit() else "\\" + mark


def _pieces(block: Block) -> Iterator[str]:
    if isinstance(block, Line):
        yield paragraph(block.text)
    elif isinstance(block, Facts):
        yield _table(("", ""), block.rows)
    elif isinstance(block, Table):
        if block.title:
            yield f"**{escape(block.title)}**"
        yield _table(block.header, block.rows[:MOST_ROWS], block.right)
        if len(block.rows) > MOST_ROWS:
            yield f"and {len(block.rows) - MOST_ROWS} more"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    ruler = ["---:" if at in right else "---" for at in range(len(header))]
    lines = [[escape(cell) for cell in header], ruler, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
