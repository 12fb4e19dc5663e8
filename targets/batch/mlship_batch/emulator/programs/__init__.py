"""The programs that steps run: the system's own by name, others from the step's libraries."""

from __future__ import annotations

from collections.abc import Callable

from mlship_batch.emulator.programs import bpxbatch, compiler, iebgener, library
from mlship_batch.emulator.programs.idcams import run as idcams
from mlship_batch.emulator.run.step import Running


def _iefbr14(step: Running) -> int:
    return 0


_SYSTEM: dict[str, Callable[[Running], int]] = {
    "IEFBR14": _iefbr14,
    "IDCAMS": idcams,
    "IEBGENER": iebgener.run,
    "BPXBATCH": bpxbatch.run,
    "IGYCRCTL": compiler.compile_cobol,
    "IEWL": compiler.link,
    "HEWL": compiler.link,
}


def run(step: Running) -> int:
    """The return code. Raises Abend (S806 where nobody has the program) and Cancelled."""
    return _SYSTEM.get(step.program, library.run)(step)
