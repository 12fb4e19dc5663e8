"""Where a release in the foreground finds the one that takes over its connections: in files by its record."""

from __future__ import annotations

from pathlib import Path


def heir_file(folder: Path) -> Path:
    """Where the release whose record lies in `folder` finds the name of its heir's Unix socket."""
    return folder / "heir"


def heir_of(folder: Path) -> str | None:
    """The Unix socket to which connections are to be passed, None if they are to be ended."""
    try:
        return heir_file(folder).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def handover_socket(folder: Path) -> Path:
    """Where the release whose record lies in `folder` takes connections over."""
    return folder / "handover"
