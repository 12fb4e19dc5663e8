"""What the terminal can do: NO_COLOR, TERM=dumb, CI, and whether there is one at all."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def fancy(stream: TextIO) -> bool:
    """Whether tables may be drawn and lines overwritten on `stream`."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def in_notebook() -> bool:
    """Whether a Jupyter kernel shows what is written, and has the widgets that bars are drawn with there."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python else None
    return type(shell).__name__ == "ZMQInteractiveShell" and find_spec("ipywidgets") is not None


def harmless(text: str) -> str:
    """Somebody else's `text` as a terminal may have it: a character that steers it is shown, not sent. Into a
    file or a pipe it goes as it is."""
    if not sys.stdout.isatty() or text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\t" else repr(sign)[1:-1] for sign in text)


def coloured() -> bool:
    """https://no-color.org: any value that is not empty means no."""
    return not os.environ.get("NO_COLOR")


def console(stream: TextIO) -> Console:
    """A rich console on `stream`, without any style under NO_COLOR."""
    from rich.console import Console

    return Console(file=stream, color_system="auto" if coloured() else None, highlight=False, markup=False)
