"""IDCAMS: DEFINE GDG, DELETE, ALTER, LISTCAT, REPRO, VERIFY; IF LASTCC and SET MAXCC. Its return code is the
largest of its commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from mlship_batch.emulator.catalog import Catalog, Refused
from mlship_batch.emulator.generations import Generations, Group
from mlship_batch.emulator.programs.control_cards import BadCommand, Parts, read, statements
from mlship_batch.emulator.run.step import Running
from mlship_batch.names import NotAName, generation_number, is_data_set, read_data_set

_IF = re.compile(r"\s*IF\s+(LASTCC|MAXCC)\s*(=|EQ|NE|GT|LT|GE|LE|>|<)\s*(\d+)\s*THEN\s*(.*)", re.IGNORECASE)
_SET = re.compile(r"\s*SET\s+(LASTCC|MAXCC)\s*=\s*(\d+)\s*", re.IGNORECASE)
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "=": int.__eq__, "EQ": int.__eq__, "NE": int.__ne__, "GT": int.__gt__, ">": int.__gt__, "LT": int.__lt__,
    "<": int.__lt__, "GE": int.__ge__, "LE": int.__le__,
}  # fmt: skip
_FAILED, _STOP = 8, 16


class Idcams:
    """What one run of IDCAMS does; `say` prints, `step` is None where it is called over HTTP (no REPRO)."""

    def __init__(
        self, catalog: Catalog, generations: Generations, say: Callable[[str], None], step: Running | None
    ) -> None:
        self._catalog, self._generations, self._say, self._step = catalog, generations, say, step
        self.last = self.most = 0
        self._verbs: dict[str, Callable[[Parts], None]] = {
            "DEFINE": self._define, "DEF": self._define, "DELETE": self._delete, "DEL": self._delete,
            "LISTCAT": self._listcat, "LISTC": self._listcat, "REPRO": self._repro, "ALTER": self._alter,
            "VERIFY": self._verify,
        }  # fmt: skip

    def run(self, lines: Iterable[str]) -> int:
        """The largest code. Raises Abend where a DD does."""
        try:
            for statement in statements(lines):
                self._one(statement)
                if self.most >= _STOP:
                    break
        except BadCommand as wrong:
            self._say(str(wrong))
            self.most = _STOP
        self._say(f"IDC0002I IDCAMS PROCESSING COMPLETE. MAXIMUM CONDITION CODE WAS {self.most}")
        return self.most

    def _one(self, text: str) -> None:
        self._say(f" {text.strip()}")
        if condition := _IF.fullmatch(text):
            left = self.last if condition[1].upper() == "LASTCC" else self.most
            if _OPERATORS[condition[2].upper()](left, int(condition[3])):
                self._one(condition[4])
            return
        if setting := _SET.fullmatch(text):
            code = int(setting[2])
            self.last, self.most = code, code if setting[1].upper() == "MAXCC" else self.most
            return
        self.last = self._code(*read(text))
        self.most = max(self.most, self.last)
        self._say(f"IDC0001I FUNCTION COMPLETED, HIGHEST CONDITION CODE WAS {self.last}")

    def _code(self, name: str, given: Parts) -> int:
        verb = self._verbs.get(name)
        if verb is None:
            raise BadCommand(f"IDC3202I COMMAND {name} IS NOT SUPPORTED HERE")
        try:
            verb(given)
        except Refused as refused:
            self._say(f"IDC3012I {refused}" if not str(refused).startswith("IDC") else str(refused))
            return _FAILED
        except NotAName as wrong:
            raise BadCommand(f"IDC3203I {wrong}") from wrong
        return 0

    def _define(self, given: Parts) -> None:
        found = given.find("GDG", "GENERATIONDATAGROUP")
        if found is None or found.inner is None:
            raise BadCommand("IDC3202I ONLY DEFINE GDG IS SUPPORTED HERE")
        words = found.inner
        base, limit = words.value("NAME") or "", words.value("LIMIT", "LIM") or ""
        if not is_data_set(base) or not limit.isdigit():
            raise BadCommand("IDC3203I DEFINE GDG NEEDS NAME(...) AND LIMIT(...)")
        self._generations.define(
            Group(base, int(limit), words.has("EMPTY", "EMP"), words.has("SCRATCH", "SCR"))
        )

    def _delete(self, given: Parts) -> None:
        if not given.all:
            raise BadCommand("IDC3203I DELETE NEEDS A NAME")
        first = given.all[0]
        names = first.inner.all if not first.word and first.inner else (first,)
        for name in names:
            self._delete_one(str(name).upper(), force=given.has("FORCE", "FRC"))

    def _delete_one(self, text: str, *, force: bool) -> None:
        name = read_data_set(text)
        dsn, member = name.dsn, name.member
        if self._catalog.is_group(dsn):
            self._generations.delete(dsn, force=force)
        elif member is not None:
            path = self._catalog.get(dsn).path(member)
            if not path.exists():
                raise Refused(f"IDC3330I MEMBER {member} NOT FOUND")
            path.unlink()
        else:
            self._catalog.get(dsn)
            self._catalog.delete(dsn)
        self._say(f"IDC0550I ENTRY {text} DELETED")

    def _listcat(self, given: Parts) -> None:
        level = given.value("LEVEL", "LVL")
        entries = given.value("ENTRIES", "ENT", "ENTRY")
        found = self._catalog.names(f"{level}.**" if level else entries or "**")
        if not found:
            raise Refused(f"ENTRY {level or entries} NOT FOUND")
        for dsn in found:
            group = self._generations.find(dsn)
            kind = "GDG BASE" if group else "NONVSAM"
            self._say(f"{kind} ------ {dsn}" + (f" LIMIT {group.limit}" if group else ""))

    def _alter(self, given: Parts) -> None:
        dsn = str(given.all[0]).upper() if given.all else ""
        limit, new = given.value("LIMIT"), given.value("NEWNAME")
        if given.has("ROLLIN"):
            base = dsn.rpartition(".")[0]
            if generation_number(base, dsn) is None or self._catalog.find(dsn) is None:
                raise Refused(f"{dsn} IS NO GENERATION")
            self._generations.roll_in(base, dsn)
        elif limit is not None and limit.isdigit():
            self._generations.alter(replace(self._generations.get(dsn), limit=int(limit)))
        elif new is not None:
            self._catalog.rename(dsn, read_data_set(new.upper()).dsn)
        else:
            raise BadCommand("IDC3202I ONLY LIMIT, ROLLIN AND NEWNAME OF ALTER ARE SUPPORTED HERE")

    def _verify(self, given: Parts) -> None:
        self._catalog.get(given.value("DATASET", "DS") or "")

    def _repro(self, given: Parts) -> None:
        step = self._step
        source, target = given.value("INFILE", "IFILE"), given.value("OUTFILE", "OFILE")
        if step is None or source is None or target is None:
            raise BadCommand("IDC3202I REPRO NEEDS INFILE AND OUTFILE, IN A JOB")
        into = step.dd(target.upper())
        records = step.dd(source.upper()).records()
        skip, count = int(given.value("SKIP") or 0), given.value("COUNT")
        kept = (
            record
            for at, record in enumerate(records)
            if at >= skip and (count is None or at < skip + int(count))
        )
        most = into.data_set.format.most if into.data_set else 1 << 15
        self._say(f"IDC0005I NUMBER OF RECORDS PROCESSED WAS {into.write(_fitting(kept, most))}")


def _fitting(records: Iterable[bytes], most: int) -> Iterable[bytes]:
    for record in records:
        if len(record) > most:
            raise Refused(f"IDC3302I ACTION ERROR: RECORD OF {len(record)} BYTES IS LONGER THAN {most}")
        yield record


def run(step: Running) -> int:
    """SYSIN to SYSPRINT."""
    printed = step.output("SYSPRINT")
    command = Idcams(step.catalog, step.generations, lambda line: printed.say([line]), step)
    return command.run(step.dd("SYSIN").text())
