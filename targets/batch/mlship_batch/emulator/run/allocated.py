"""A DD that a step has: whatever lies behind it, read and written as records or as a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlship_batch.emulator.catalog import BadFormat, Catalog, DataSet, NotThere, records_in
from mlship_batch.emulator.charset import from_ebcdic, to_ebcdic
from mlship_batch.emulator.formats import BLANK
from mlship_batch.emulator.jcl.cards import WIDTH
from mlship_batch.emulator.run.abend import Abend
from mlship_batch.emulator.space import OutOfSpace


@dataclass
class Allocated:
    """One of `data_set` (with `member`), `lines` (in-stream), `spool` and `uss` lies behind it, or nothing
    (DUMMY). `shared` is DISP=SHR, `more` what is concatenated."""

    name: str
    catalog: Catalog
    data_set: DataSet | None = None
    member: str | None = None
    append: bool = False
    shared: bool = False
    lines: tuple[str, ...] | None = None
    spool: Path | None = None
    uss: Path | None = None
    more: list[Allocated] = field(default_factory=list)

    def records(self) -> Iterator[bytes]:
        """What is read from it; text is EBCDIC, in cards. Abends with S013 for a member that is not there."""
        try:
            if self.data_set is not None:
                yield from records_in(self.data_set, self.member)
        except NotThere as missing:
            raise Abend("S013", "18", f"IEC141I 013-18 {missing}") from missing
        except BadFormat as wrong:
            raise Abend("S001", "04", f"IEC020I 001-4 {wrong}") from wrong
        if self.lines is not None:
            yield from (to_ebcdic(line.ljust(WIDTH)) for line in self.lines)
        if self.uss is not None and self.uss.exists():
            yield from (to_ebcdic(line) for line in self.uss.read_text(encoding="utf-8").splitlines())
        for part in self.more:
            yield from part.records()

    def text(self) -> list[str]:
        """The same as lines, without blanks at their ends."""
        return [from_ebcdic(record).rstrip() for record in self.records()]

    def write(self, records: Iterable[bytes], fill: bytes = BLANK) -> int:
        """Put records in; how many. Abends with Sx37 when there is no room."""
        if self.data_set is None:
            return self._write_text(from_ebcdic(record).rstrip() for record in records)
        writer = self.catalog.write(self.data_set, self.member, append=self.append)
        try:
            for record in records:
                writer.put(record, fill)
        except OutOfSpace as full:
            raise Abend(full.code[:4], full.code[5:], f"IEC030I {full.code} {full.dsn}") from full
        finally:
            writer.close()
        return writer.records

    def say(self, lines: Iterable[str]) -> None:
        """Text for people, as a utility prints it."""
        if self.data_set is not None:
            self.append = self.write([to_ebcdic(line) for line in lines]) >= 0
        else:
            self._write_text(lines)

    def _write_text(self, lines: Iterable[str]) -> int:
        target, count = self.spool or self.uss, 0
        for line in lines:
            count += 1
            if target is not None:
                with target.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        return count


@dataclass
class Mapped:
    """A DD as a file for a program of this machine, and what came of it put back."""

    dd: Allocated
    path: Path
    copied: bool

    def taken_back(self) -> None:
        """Abends with S001 where a file is cut within a record, with Sx37 where it has grown too large."""
        data_set = self.dd.data_set
        if data_set is None or self.dd.more:
            return
        if self.copied:
            self.dd.append = False
            self.dd.write(_of_cobol(self.path))
            return
        size = self.path.stat().st_size
        if data_set.format.fixed and size % data_set.format.lrecl:
            raise Abend("S001", "04", f"IEC020I 001-4 {data_set.dsn} ENDS WITHIN A RECORD")
        if size > data_set.space.most:
            code = data_set.space.refusal()
            raise Abend(code[:4], code[5:], f"IEC030I {code} {data_set.dsn}")


def mapped(dd: Allocated, scratch: Path, *, writes: bool) -> Mapped:
    """`dd` for a program: a fixed data set is its own file; a variable one has the header of GnuCOBOL,
    whose length leaves itself out; in-stream data and the spool are text of this machine."""
    own = dd.data_set
    if own is not None and not dd.more and not own.format.variable:
        path = own.path(dd.member)
        if not path.exists() and not writes:
            raise Abend("S013", "18", f"IEC141I 013-18 MEMBER {dd.member} NOT FOUND IN {own.dsn}")
        return Mapped(dd, path, copied=False)
    if dd.spool is not None or dd.uss is not None:
        return Mapped(dd, dd.spool or dd.uss or Path(), copied=False)
    if own is None and dd.lines is None:
        return Mapped(dd, Path("/dev/null"), copied=False)
    path = scratch / f"dd-{dd.name}"
    with path.open("wb") as file:
        if own is None:
            file.writelines((line.rstrip() + "\n").encode() for line in dd.text())
        else:
            variable = own.format.variable
            for record in dd.records():
                file.write((len(record).to_bytes(2, "big") + b"\0\0" if variable else b"") + record)
    return Mapped(dd, path, copied=writes and own is not None)


def _of_cobol(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while word := file.read(4):
            yield file.read(int.from_bytes(word[:2], "big"))
