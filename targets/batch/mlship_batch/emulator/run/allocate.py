"""Before a step: its DDs are allocated. After it: kept, cataloged, passed on, deleted, rolled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlship_batch.emulator.catalog import Catalog, DataSet, NotThere, Refused
from mlship_batch.emulator.formats import BadFormat, Format
from mlship_batch.emulator.generations import Generations, Seen
from mlship_batch.emulator.jcl.dd import Dd
from mlship_batch.emulator.jcl.job import Step
from mlship_batch.emulator.run.abend import NotAllocated
from mlship_batch.emulator.run.allocated import Allocated
from mlship_batch.emulator.space import Space
from mlship_batch.names import DataSetName

_TEMPORARY = "&&"


@dataclass
class Held:
    """A data set that a step has, and what becomes of it. `group` is the base of a new generation."""

    dd: Dd
    dsn: str
    new: bool
    group: str = ""


@dataclass
class JobData:
    """The data sets of one job: what its relative numbers and temporary names mean.

    `tag` makes temporary names unique, `note` writes into the job's messages.
    """

    catalog: Catalog
    generations: Generations
    tag: str
    spool: Callable[[str, str, int], Path]
    uss: Callable[[str], Path]
    note: Callable[[str], None]
    seen: Seen = field(init=False)
    temporary: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, str] = field(default_factory=dict)  # generation -> group, until it is rolled in

    def __post_init__(self) -> None:
        self.seen = Seen(self.generations)

    def real(self, name: DataSetName) -> str:
        """The data set that a name means in this job. Raises NotThere."""
        if name.dsn.startswith(_TEMPORARY):
            short = name.dsn[2:]
            return self.temporary.setdefault(short, f"SYS1.TEMP.{self.tag}.{short}")
        return name.dsn if name.relative is None else self.seen.resolve(name.dsn, name.relative)

    def allocate(self, step: Step) -> tuple[dict[str, Allocated], list[Held]]:
        """The DDs of a step by name. Raises NotAllocated; what it had made by then is undone."""
        found: dict[str, Allocated] = {}
        held: list[Held] = []
        last: Allocated | None = None
        try:
            for dd in step.dds:
                one = self._one(dd, step, held)
                if dd.name:
                    found[dd.name] = last = one
                elif last is not None:
                    last.more.append(one)
        except (Refused, BadFormat) as refused:
            self.release([each for each in held if each.new], abended=True)
            raise NotAllocated(str(refused)) from refused
        return found, held

    def release(self, held: list[Held], *, abended: bool) -> None:
        """The dispositions, at the end of a step."""
        for each in held:
            what = each.dd.disp.abnormal if abended else each.dd.disp.normal
            if what == "PASS":
                continue
            if what == "DELETE":
                self._delete(each)
            elif what == "UNCATLG":
                self.catalog.listing(each.dsn, False)
            elif what == "CATLG":
                self._catalog(each)
            elif each.group or each.dsn in self.deferred:
                self.deferred.pop(each.dsn, None)  # kept and not rolled in: ALTER ROLLIN may do it
            elif each.new:
                self.catalog.listing(each.dsn, True)  # where SMS manages it, KEEP catalogs
            self.note(f"IGD104I {each.dsn} {'DELETED' if what == 'DELETE' else what}")

    def end(self) -> None:
        """Temporary data sets and generations that were passed, and by nobody cataloged, go with the job."""
        for dsn in [*self.temporary.values(), *self.deferred]:
            found = self.catalog.find(dsn)
            if found is not None and not found.listed:
                self.catalog.delete(dsn)

    def _one(self, dd: Dd, step: Step, held: list[Held]) -> Allocated:
        empty = Allocated(dd.name, self.catalog)
        if dd.data is not None:
            empty.lines = dd.data
        elif dd.sysout:
            empty.spool = self.spool(dd.name, step.name, dd.format.lrecl if dd.format else 133)
        elif dd.path:
            empty.uss = self.uss(dd.path)
        elif dd.dsn is not None:
            self._data_set(dd, dd.dsn, empty, held)
        return empty

    def _data_set(self, dd: Dd, name: DataSetName, into: Allocated, held: list[Held]) -> None:
        dsn = self.real(name)
        found = self.catalog.find(dsn)
        passed = found is not None and (dsn in self.deferred or dsn in self.temporary.values())
        there = found is not None and (found.listed or passed)
        if name.relative is None and self.catalog.is_group(dsn):
            raise Refused(f"{dsn} IS A GENERATION DATA GROUP: NAME A GENERATION")
        new = dd.disp.status == "NEW" or (dd.disp.status == "MOD" and not there)
        if not new and (found is None or not there):
            raise NotThere(f"IEF212I {dsn} - DATA SET NOT FOUND")
        data_set = self._created(dd, name, dsn) if new or found is None else found
        group = name.dsn if name.relative is not None and name.relative > 0 else ""
        if new and group:
            self.deferred[dsn] = group
        held.append(Held(dd, dsn, new, group))
        into.data_set, into.member = data_set, name.member
        into.append, into.shared = dd.disp.status == "MOD", dd.disp.status == "SHR"

    def _created(self, dd: Dd, name: DataSetName, dsn: str) -> DataSet:
        model = self.catalog.get(dd.like) if dd.like else None
        shape = dd.format or (model.format if model else Format(dsorg="PO" if name.member else "PS"))
        if name.member is not None and shape.dsorg == "PS":
            shape = Format("PO", shape.recfm, shape.lrecl, shape.blksize)
        space = dd.space or (model.space if model else Space())
        return self.catalog.create(dsn, shape, space, listed=False)

    def _delete(self, each: Held) -> None:
        if self.catalog.find(each.dsn) is not None:
            self.catalog.delete(each.dsn)
        self.deferred.pop(each.dsn, None)

    def _catalog(self, each: Held) -> None:
        group = each.group or self.deferred.get(each.dsn, "")
        if not group:
            self.catalog.listing(each.dsn, True)
            return
        for old in self.generations.roll_in(group, each.dsn):
            self.note(f"IGD17358I {old} ROLLED OFF")
        self.deferred.pop(each.dsn, None)
