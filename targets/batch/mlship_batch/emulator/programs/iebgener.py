"""IEBGENER: SYSUT1 to SYSUT2, with no control statements."""

from __future__ import annotations

from mlship_batch.emulator.formats import Format
from mlship_batch.emulator.run.abend import Abend
from mlship_batch.emulator.run.allocated import Allocated
from mlship_batch.emulator.run.step import Running

_WRONG = 12


def run(step: Running) -> int:
    """12 where the record lengths do not fit, as the utility has it; nothing is cut silently."""
    source, target = step.dd("SYSUT1"), step.dd("SYSUT2")
    printed = step.output("SYSPRINT")
    if "SYSIN" in step.dds and any(step.dds["SYSIN"].text()):
        printed.say(["IEB339I CONTROL STATEMENTS ARE NOT SUPPORTED HERE"])
        return _WRONG
    given, taken = _format(source), _format(target)
    if taken and given and taken.fixed and given.fixed and taken.lrecl != given.lrecl:
        printed.say([f"IEB311I CONFLICTING DCB PARAMETERS: LRECL {given.lrecl} TO {taken.lrecl}"])
        return _WRONG
    if taken and given and given.most > taken.most:
        raise Abend("S013", "34", "IEC141I 013-34 SYSUT2 HAS NO ROOM FOR THE RECORDS OF SYSUT1")
    count = target.write(source.records())
    printed.say([f"IEB352I {count} RECORDS COPIED", "PROCESSING ENDED AT EOD"])
    return 0


def _format(dd: Allocated) -> Format | None:
    if dd.data_set is not None:
        return dd.data_set.format
    return Format() if dd.lines is not None else None
