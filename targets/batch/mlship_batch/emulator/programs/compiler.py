"""IGYCRCTL and the linkage editor: COBOL from SYSIN, compiled by GnuCOBOL, as a member of SYSLMOD.

The object deck in SYSLIN is the whole executable; linking copies it.
"""

from __future__ import annotations

import shutil

from mlship_batch.emulator.charset import from_ebcdic
from mlship_batch.emulator.formats import ZERO
from mlship_batch.emulator.programs import child
from mlship_batch.emulator.run.abend import Abend
from mlship_batch.emulator.run.step import Running

_CHUNK = 1 << 16
_FLAGS = ("-x", "-std=ibm", "-fsign=ebcdic")
_SEVERE, _ERROR = 12, 8


def compile_cobol(step: Running) -> int:
    """0, or 12 with what the compiler said in SYSPRINT. Abends with S806 where there is no cobc."""
    compiler = shutil.which("cobc")
    if compiler is None:
        raise Abend("S806", "04", "CSV003I NO COBOL COMPILER HERE: APT-GET INSTALL GNUCOBOL3")
    source, made = step.scratch / "source.cbl", step.scratch / "made"
    source.write_text("".join(line + "\n" for line in _columns(step)), encoding="utf-8")
    said = step.scratch / "said"
    command = [compiler, *_FLAGS, "-o", str(made), str(source)]
    code = child.run(step, command, {"TMPDIR": str(step.scratch)}, (None, said, said))
    step.output("SYSPRINT").say(said.read_text(encoding="utf-8", errors="replace").splitlines())
    if code:
        return _SEVERE
    deck = step.dd("SYSLIN")
    shape = deck.data_set.format if deck.data_set else None
    data = [made.read_bytes()]
    deck.write(shape.of_bytes(data) if shape else data, ZERO)
    return 0


def link(step: Running) -> int:
    """SYSLIN becomes the member that SYSLMOD names; 8 if SYSLIN is empty."""
    module = step.dd("SYSLMOD")
    deck = b"".join(step.dd("SYSLIN").records())
    if not deck or module.data_set is None or module.member is None:
        step.output("SYSPRINT").say(["IEW2456E NOTHING TO LINK, OR SYSLMOD NAMES NO MEMBER"])
        return _ERROR
    module.write(deck[at : at + _CHUNK] for at in range(0, len(deck), _CHUNK))
    step.output("SYSPRINT").say([f"IEW2008I {module.member} LINKED INTO {module.data_set.dsn}"])
    return 0


def _columns(step: Running) -> list[str]:
    """The source without what stands behind column 72."""
    return [from_ebcdic(record)[:72].rstrip() for record in step.dd("SYSIN").records()]
