"""Which paths a layer may hold: plain, relative, short, and distinct on every file system.

Names that differ only in case or in Unicode form would overwrite each other on macOS; control and
direction characters make a listing lie. Rules: `facts` of the field, CVE-2007-4559 and its successors.
"""

from __future__ import annotations

import unicodedata

from mlship_runtime.errors import InvalidBundle

MAX_PATH_BYTES = 200
MAX_DEPTH = 16
MAX_ENTRIES = 20_000
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))
)
_BANNED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def check_path(path: str) -> str:
    """`path` if a layer may hold it; raises InvalidBundle that names it and says why."""
    why = _objection(path)
    if why:
        raise InvalidBundle(f"the path {path[:250]!a} is not allowed in a bundle", cause=why)
    return path


def _objection(path: str) -> str:
    if not path.isascii():
        if any(unicodedata.category(char) in _BANNED_CATEGORIES for char in path):
            return "it has a control character"
        if unicodedata.normalize("NFC", path) != path:
            return "its characters are not in Unicode form C"
    elif not path.isprintable():
        return "it has a control character"
    if len(path.encode("utf-8")) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if path.startswith("/"):
        return "it is absolute"
    if "\\" in path or ":" in path:
        return "it has a backslash or a colon"
    return _segments_objection(path.split("/"))


def _segments_objection(segments: list[str]) -> str:
    if len(segments) > MAX_DEPTH:
        return f"it is more than {MAX_DEPTH} levels deep"
    for segment in segments:
        if segment in ("", ".", ".."):
            return f"it has a part {segment!r}"
        if segment[-1] in ". " or segment[0] == " ":
            return "a part ends in a dot or a space, or begins with a space"
        if segment.partition(".")[0].rstrip(" ").lower() in _DEVICES:
            return f"{segment!r} is a device on Windows"
    return ""


class PathSet:
    """Allowed paths that do not clash with each other; `add` raises InvalidBundle for one that does."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # folded path or folder -> as first written
        self._files: set[str] = set()
        self._folders: set[str] = {""}

    def __len__(self) -> int:
        return len(self._files)

    def add(self, path: str) -> None:
        if len(self._files) >= MAX_ENTRIES:
            raise InvalidBundle(f"more than {MAX_ENTRIES} files in one layer")
        folder = check_path(path).rpartition("/")[0]
        if folder not in self._folders:
            self._add_folders(folder)
        if path in self._files:
            raise InvalidBundle(f"the path {path!a} stands twice")
        if path in self._folders:
            raise InvalidBundle(f"{path!a} is both a file and a folder")
        self._claim(path)
        self._files.add(path)

    def _add_folders(self, folder: str) -> None:
        end = 0
        while end >= 0:
            end = folder.find("/", end + 1)
            part = folder if end < 0 else folder[:end]
            if part in self._files:
                raise InvalidBundle(f"{part!a} is both a file and a folder")
            if part not in self._folders:
                self._claim(part)
                self._folders.add(part)

    def _claim(self, path: str) -> None:
        folded = path.lower() if path.isascii() else unicodedata.normalize("NFKC", path).casefold()
        other = self._names.setdefault(folded, path)
        if other != path:
            raise InvalidBundle(
                f"the paths {other!a} and {path!a} are one name on some file systems",
                cause="they differ only in case or in the form of their characters",
            )
