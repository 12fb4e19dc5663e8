"""What a base image has that a bundle needs: Python, the C library, and the root's own folders.

Its layers are read once, as streams; nothing is unpacked or run. Upper layers replace and hide what lower
ones have, as engines see it (OCI image specification 1.1, layer.md, "Whiteouts").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mlship.errors import RegistryError
from mlship.image.tar_headers import FILE, FOLDER, HARD_LINK, LINK, Entry, entries, plain_path
from mlship.result import Result
from mlship_runtime.bundle.ustar import CHUNK, MemberReader, Stream

PYTHON = re.compile(r"python3\.(\d{1,2})")
_LIBC = re.compile(r"libc\.so\.6|libc-2\.\d+\.so")
_LIBC_VERSION = re.compile(rb"GNU C Library [ -~]{0,200}? version (\d+)\.(\d+)")
_MUSL = re.compile(r"ld-musl-[a-z0-9_]+\.so\.1")
LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")  # numpy and onnxruntime take them from the host
_SERVER_NEEDS = re.compile(r"(?:^|/)python3\.(\d{1,2})/asyncio/__init__\.pyc?$")
_HIDES, _HIDES_ALL = ".wh.", ".wh..wh..opq"
_MACHINES = {62: "amd64", 183: "arm64", 22: "s390x"}  # e_machine of ELF
_MOST_OF_LIBC = 16 << 20
_MOST_ROOTS = 1000
_MOST_SEEN = 5000


class Interpreter(Result, frozen=True, kw_only=True):
    """A Python in the image, at `path`; `processor` is that of its file (empty: another)."""

    path: str
    minor: int
    processor: str


class BaseFiles(Result, frozen=True, kw_only=True):
    """`libc` is the version of glibc (None: there is none), `complete` the minor versions of Python whose
    library a server can be run with, `roots` the names at the root."""

    interpreters: tuple[Interpreter, ...]
    libc: tuple[int, int] | None
    musl: bool
    libraries: tuple[str, ...]
    complete: tuple[int, ...]
    roots: tuple[str, ...]


class Finder:
    """Goes through the layers in order, the lowest first."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, Any]] = {}  # path -> (kind, what was found out)
        self._roots: set[str] = set()

    def read(self, layer: Stream, place: str) -> None:
        """One layer. RegistryError if it is no sound tar."""
        for entry, content in entries(layer, place):
            folder, _, name = entry.path.rpartition("/")
            if name == _HIDES_ALL:
                self._hide_below(folder)
            elif name.startswith(_HIDES):
                self._hide(f"{folder}/{name[len(_HIDES) :]}".lstrip("/"))
            elif entry.path:
                self._place(entry, name, content)

    def found(self) -> BaseFiles:
        interpreters = []
        for path, (kind, said) in sorted(self._seen.items()):
            match = PYTHON.fullmatch(path.rpartition("/")[2])
            processor = self._processor(path, kind, said) if match else None
            if match and processor is not None:
                interpreters.append(Interpreter(path=f"/{path}", minor=int(match[1]), processor=processor))
        names = {path.rpartition("/")[2]: path for path in self._seen}
        libcs = [said for kind, said in self._seen.values() if kind == FILE and isinstance(said, tuple)]
        complete = {int(match[1]) for path in self._seen if (match := _SERVER_NEEDS.search(path))}
        return BaseFiles(
            interpreters=tuple(interpreters),
            libc=min(libcs, default=None),
            musl=any(_MUSL.fullmatch(name) for name in names),
            libraries=tuple(name for name in LIBRARIES if name in names),
            complete=tuple(sorted(complete)),
            roots=tuple(sorted(self._roots)),
        )

    def _place(self, entry: Entry, name: str, content: MemberReader) -> None:
        if entry.kind != FOLDER:
            self._hide_below(entry.path)
            self._seen.pop(entry.path, None)
        if len(self._roots) < _MOST_ROOTS:
            self._roots.add(entry.path.partition("/")[0])
        if entry.kind == FOLDER:
            return
        if len(self._seen) > _MOST_SEEN:
            raise RegistryError("the base has more Pythons and C libraries than can be looked at")
        if entry.kind == FILE and (PYTHON.fullmatch(name) or _LIBC.fullmatch(name)):
            said = _machine(content) if name.startswith("python") else _libc_version(content)
            self._seen[entry.path] = (FILE, said)
        elif _interests(name, entry.path):
            self._seen[entry.path] = (entry.kind, entry.target)

    def _processor(self, path: str, kind: str, said: Any, hops: int = 8) -> str | None:
        """Of the file that a path means; None if it means none that is there."""
        if kind == FILE:
            return str(said) if isinstance(said, str) else None
        if not hops or kind not in (LINK, HARD_LINK):
            return None
        beside = "" if kind == HARD_LINK or said.startswith("/") else path.rpartition("/")[0]
        target = plain_path(f"{beside}/{said}")
        return self._processor(target, *self._seen[target], hops - 1) if target in self._seen else None

    def _hide(self, path: str) -> None:
        self._seen.pop(path, None)
        self._roots.discard(path)
        self._hide_below(path)

    def _hide_below(self, folder: str) -> None:
        before = f"{folder}/" if folder else ""
        for path in [path for path in self._seen if path.startswith(before)]:
            del self._seen[path]
        if not folder:
            self._roots.clear()


def files_of(layers: Iterable[tuple[Stream, str]]) -> BaseFiles:
    """What layers (and the words for each) have together."""
    finder = Finder()
    for layer, place in layers:
        finder.read(layer, place)
    return finder.found()


def _interests(name: str, path: str) -> bool:
    return bool(
        name in LIBRARIES
        or PYTHON.fullmatch(name)
        or _LIBC.fullmatch(name)
        or _MUSL.fullmatch(name)
        or _SERVER_NEEDS.search(path)
    )


def _machine(content: MemberReader) -> str:
    """The processor that an ELF file is for; empty for what is another or none."""
    head = bytearray()
    while len(head) < 20 and (part := content.read(20 - len(head))):
        head += part
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return ""
    order = "big" if head[5] == 2 else "little"  # EI_DATA
    return _MACHINES.get(int.from_bytes(head[18:20], order), "")  # type: ignore[arg-type]


def _libc_version(content: MemberReader) -> tuple[int, int] | None:
    """What the library says of itself."""
    data = bytearray()
    while len(data) < _MOST_OF_LIBC and (part := content.read(CHUNK)):
        data += part
    found = _LIBC_VERSION.search(data)
    return (int(found[1]), int(found[2])) if found else None
