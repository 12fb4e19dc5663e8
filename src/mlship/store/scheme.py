"""Finds what opens a URL: entry points by scheme, built-in and foreign ones through one door."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import RegistryError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.DOTALL)


def find_opener(group: str, url: str) -> Callable[[str], Any]:
    """The callable(url) that `group` has for the scheme of `url`; UsageError names those there are."""
    found = _URL.fullmatch(url)
    openers = _offered(group, tuple(sys.path))
    if not found or found[1] not in openers:
        schemes = ", ".join(f"{name}://" for name in sorted(openers)) or "none"
        raise UsageError(
            f"no registry or store has the URL {shown(url)!r}",
            cause=f"the schemes known here are {schemes}",
            fix="A folder is dir:///its/path or dir://./path, an OCI registry oci://HOST/PREFIX",
        )
    point = openers[found[1]]
    try:
        opener: Callable[[str], Any] = point.load()
    except ImportError as error:
        raise RegistryError(
            f"{found[1]}:// cannot be opened",
            cause=f"{point.value} cannot be imported: {error}",
            fix="Install what it needs",
        ) from error
    return opener


@cache
def _offered(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """What the packages on `path` offer, by scheme: read once, for there may be hundreds of them."""
    from importlib.metadata import entry_points  # takes as long as the rest of a command's start

    return {point.name: point for point in entry_points(group=group)}


def shown(url: str) -> str:
    """`url` for a message: without what stands before an @ or behind a ?, which may be a secret."""
    return re.sub(r"//.*@", "//", url.partition("?")[0])[:200]


def absolute(url: str, root: Path | None) -> str:
    """`url` with a path that begins with `.` taken from `root` (None: the current folder), `~` expanded."""
    scheme, mark, path = url.partition("://")
    if mark and path.startswith("."):
        return f"{scheme}://{Path(root or Path.cwd(), path).resolve()}"
    if mark and path.startswith("~"):
        return f"{scheme}://{Path(path).expanduser()}"
    return url
