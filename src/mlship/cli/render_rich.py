"""Draw blocks on a terminal: bold names, tables that fit its width."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich import box
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.terminal import console


def draw(blocks: Iterable[Block]) -> None:
    """Print `blocks` to stdout."""
    screen = console(sys.stdout)
    for block in blocks:
        if isinstance(block, Line):
            screen.print(block.text)
        elif isinstance(block, Facts):
            screen.print(_facts(block))
        else:
            if block.title:
                screen.print(Text("\n" + block.title, style="bold"))
            screen.print(Padding(_table(block), (0, 0, 0, 2 if block.title else 0)))


def _facts(block: Facts) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in block.rows:
        grid.add_row(name, value)
    return grid


def _table(block: Table) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(block.header):
        table.add_column(name, justify="right" if at in block.right else "left", overflow="fold")
    for row in block.rows:
        table.add_row(*row)
    return table
