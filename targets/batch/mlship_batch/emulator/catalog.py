"""The catalog: which data sets are there, with their attributes and bytes, each in a folder of its own."""

from __future__ import annotations

import datetime
import fnmatch
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mlship_batch.emulator.formats import BadFormat, Format, made
from mlship_batch.emulator.space import OutOfSpace, Space
from mlship_batch.names import is_data_set
from mlship_runtime.files import read_json, remove, write_json

VOLUME = "ML0001"
_ABOUT, _GROUP, _DATA, _MEMBERS = "about.json", "gdg.json", "data", "members"


class Refused(Exception):
    """What the catalog cannot do: the message is that of the system."""


class NotThere(Refused):
    """No such data set or member."""


class Taken(Refused):
    """There is one of that name."""


@dataclass(frozen=True)
class DataSet:
    """One data set; `listed` is False while the catalog has no entry (a generation not yet rolled in)."""

    dsn: str
    format: Format
    space: Space
    folder: Path = field(compare=False)
    created: str = ""
    listed: bool = True

    def path(self, member: str | None = None) -> Path:
        """The file of its bytes, or of a member's. Raises Refused for a member where there can be none."""
        if (member is not None) != (self.format.dsorg == "PO"):
            raise Refused(f"{self.dsn} is {'' if member is None else 'not '}partitioned")
        return self.folder / _DATA if member is None else self.folder / _MEMBERS / member

    def members(self) -> list[str]:
        return sorted(path.name for path in (self.folder / _MEMBERS).glob("*"))

    def used(self) -> int:
        """Bytes of all that is in it."""
        return sum(
            path.stat().st_size for path in self.folder.rglob("*") if path.name not in (_ABOUT, _GROUP)
        )


class Catalog:
    """All data sets below `root`; together they have no more than `capacity` bytes."""

    def __init__(self, root: Path, capacity: int = 1 << 34, full: Callable[[str], bool] = lambda dsn: False):
        self.root, self.capacity, self._full = root, capacity, full
        self.lock = threading.RLock()
        root.mkdir(parents=True, exist_ok=True)

    def find(self, dsn: str) -> DataSet | None:
        """The data set, whether it is listed or not."""
        about = read_json(self.root / dsn / _ABOUT) if is_data_set(dsn) else None
        if about is None:
            return None
        space = Space(about["primary"], about["secondary"])
        shape = Format(about["dsorg"], about["recfm"], about["lrecl"], about["blksize"])
        return DataSet(dsn, shape, space, self.root / dsn, about["created"], about["listed"])

    def get(self, dsn: str) -> DataSet:
        """A data set that is listed. Raises NotThere."""
        found = self.find(dsn)
        if found is None or not found.listed:
            raise NotThere(f"DATA SET {dsn} NOT FOUND")
        return found

    def create(self, dsn: str, shape: Format, space: Space, *, listed: bool = True) -> DataSet:
        """A new, empty one. Raises Taken, Refused (no room) and BadFormat."""
        shape = made(shape.dsorg, shape.recfm, shape.lrecl, shape.blksize)
        with self.lock:
            left = self.find(dsn)
            if left is not None and not left.listed:
                self.delete(dsn)  # a generation that was never rolled in is used again
            elif left or self.is_group(dsn):
                raise Taken(f"IGD17101I DATA SET {dsn} NOT DEFINED BECAUSE DUPLICATE NAME EXISTS IN CATALOG")
            if self._full(dsn) or self.used() + space.primary > self.capacity:
                raise Refused(
                    f"IGD17272I VOLUME SELECTION HAS FAILED FOR INSUFFICIENT SPACE FOR DATA SET {dsn}"
                )
            made_at = datetime.datetime.now(datetime.UTC).strftime("%Y/%m/%d")
            data_set = DataSet(dsn, shape, space, self.root / dsn, made_at, listed)
            data_set.folder.mkdir(exist_ok=True)
            if shape.dsorg == "PO":
                (data_set.folder / _MEMBERS).mkdir(exist_ok=True)
            else:
                data_set.path().touch()
            self._note(data_set)
            return data_set

    def listing(self, dsn: str, listed: bool) -> None:
        """Catalog or uncatalog a data set. Raises NotThere."""
        found = self.find(dsn)
        if found is None:
            raise NotThere(f"DATA SET {dsn} NOT FOUND")
        self._note(DataSet(dsn, found.format, found.space, found.folder, found.created, listed))

    def delete(self, dsn: str) -> None:
        """Raises NotThere."""
        with self.lock:
            if self.find(dsn) is None:
                raise NotThere(f"DATA SET {dsn} NOT FOUND")
            remove(self.root / dsn)

    def rename(self, old: str, new: str) -> None:
        """Raises NotThere and Taken."""
        with self.lock:
            self.get(old)
            if self.find(new) or self.is_group(new):
                raise Taken(f"DUPLICATE DATA SET NAME {new}")
            (self.root / old).rename(self.root / new)

    def names(self, pattern: str = "**") -> list[str]:
        """Listed data sets and generation groups that match a pattern (* a qualifier or part, ** any)."""
        matches = _matcher(pattern)
        with self.lock:
            found = [path.name for path in self.root.iterdir() if is_data_set(path.name)]
            return sorted(
                dsn for dsn in found if matches(dsn) and (self._is_listed(dsn) or self.is_group(dsn))
            )

    def is_group(self, dsn: str) -> bool:
        return (self.root / dsn / _GROUP).exists()

    def group_file(self, dsn: str) -> Path:
        return self.root / dsn / _GROUP

    def used(self) -> int:
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def write(self, data_set: DataSet, member: str | None, *, append: bool = False) -> Writer:
        """Open for output: from here on what was there is gone, unless `append`."""
        path = data_set.path(member)
        before = data_set.used() - (path.stat().st_size if path.exists() and not append else 0)
        whole = self.used()
        room = min(data_set.space.most - before, self.capacity - whole)
        code = (
            "SB37-04" if self._full(data_set.dsn) or self.capacity - whole <= 0 else data_set.space.refusal()
        )
        if code == "SB37-04":
            room = 0
        return Writer(path.open("ab" if append else "wb"), data_set, room, code)

    def _is_listed(self, dsn: str) -> bool:
        found = self.find(dsn)
        return found is not None and found.listed

    def _note(self, data_set: DataSet) -> None:
        shape, space = data_set.format, data_set.space
        write_json(
            data_set.folder / _ABOUT,
            {
                "dsorg": shape.dsorg, "recfm": shape.recfm, "lrecl": shape.lrecl, "blksize": shape.blksize,
                "primary": space.primary, "secondary": space.secondary,
                "created": data_set.created, "listed": data_set.listed,
            },
        )  # fmt: skip


class Writer:
    """Puts records into a data set, until there is no room. `truncated` counts those that were cut."""

    def __init__(self, file: BinaryIO, data_set: DataSet, room: int, code: str) -> None:
        self._file, self._shape, self._room, self._code = file, data_set.format, room, code
        self._dsn = data_set.dsn
        self.truncated = self.records = 0

    def put(self, record: bytes, fill: bytes) -> None:
        """Raises OutOfSpace."""
        fitting, cut = self._shape.fit(record, fill)
        data = self._shape.stored(fitting)
        self._room -= len(data)
        if self._room < 0:
            raise OutOfSpace(self._code, self._dsn)
        self._file.write(data)
        self.truncated += cut
        self.records += 1

    def close(self) -> None:
        self._file.close()


def records_in(data_set: DataSet, member: str | None = None) -> Iterator[bytes]:
    """Raises NotThere for a member that is not there, BadFormat for a file cut within a record."""
    path = data_set.path(member)
    if not path.exists():
        raise NotThere(f"MEMBER {member} NOT FOUND IN {data_set.dsn}")
    with path.open("rb") as file:
        yield from data_set.format.records(file)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """As z/OSMF's dslevel: what stands there may go on with further qualifiers."""
    parts = []
    for qualifier in pattern.upper().split("."):
        part = r"[^.]+(\.[^.]+)*" if qualifier == "**" else fnmatch.translate(qualifier)
        parts.append(part.replace("(?s:", "(?:").removesuffix(r"\Z").replace(".*", "[^.]*"))
    whole = re.compile(r"\.".join(parts) + r"(\..+)?")
    return lambda dsn: whole.fullmatch(dsn) is not None


__all__ = ["BadFormat", "Catalog", "DataSet", "NotThere", "Refused", "Taken", "Writer", "records_in"]
