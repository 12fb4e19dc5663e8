"""What a program finds when it runs: its DDs, its PARM, where it may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlship_batch.emulator.catalog import Catalog, DataSet
from mlship_batch.emulator.generations import Generations
from mlship_batch.emulator.run.abend import Abend
from mlship_batch.emulator.run.allocated import Allocated
from mlship_batch.names import DataSetName


@dataclass
class Running:
    """One step that runs. `real` says which data set a name means in this job, `cancelled` whether it shall
    stop, `uss` where a path of z/OS UNIX is here."""

    name: str
    program: str
    parm: str
    dds: Mapping[str, Allocated]
    catalog: Catalog
    generations: Generations
    real: Callable[[DataSetName], str]
    cancelled: Callable[[], bool]
    libraries: list[DataSet]
    scratch: Path
    home: Path
    sysout: Callable[[str], Allocated]

    def dd(self, name: str) -> Allocated:
        """A DD that the program cannot do without. Abends with S013 as an OPEN would."""
        if name not in self.dds:
            raise Abend("S013", "C0", f"IEC130I {name} DD STATEMENT MISSING")
        return self.dds[name]

    def output(self, name: str) -> Allocated:
        """Where messages go: the DD, or a SYSOUT of that name."""
        return self.dds[name] if name in self.dds else self.sysout(name)
