"""A program from STEPLIB or JOBLIB: an executable of this machine, as the member of a library.

What GnuCOBOL makes finds its files by the DD's name (DD_NAME), RETURN-CODE is the exit code, and what its
run-time finds wrong is an abend.
"""

from __future__ import annotations

from pathlib import Path

from mlship_batch.emulator.programs import child
from mlship_batch.emulator.run.abend import Abend
from mlship_batch.emulator.run.allocated import Allocated, mapped
from mlship_batch.emulator.run.step import Running

_WORDS = (("not numeric", "S0C7"), ("divide by zero", "S0CB"), ("libcob: error", "U4038"))
_LOOKED_AT = 65536  # bytes of the end of standard error
_STREAMS = ("SYSIN", "SYSOUT", "STEPLIB", "JOBLIB")


def run(step: Running) -> int:
    """Raises Abend: S806 where no library has the program."""
    program = _found(step)
    files = [mapped(dd, step.scratch, writes=not dd.shared) for dd in _files(step)]
    environment = {f"DD_{each.dd.name}": str(each.path) for each in files} | {"COB_VARSEQ_FORMAT": "0"}
    given = mapped(step.dds["SYSIN"], step.scratch, writes=False).path if "SYSIN" in step.dds else None
    said, wrong = step.scratch / "stdout", step.scratch / "stderr"
    try:
        code = child.run(step, [str(program), *_words(step.parm)], environment, (given, said, wrong))
    finally:
        step.output("SYSOUT").say(_lines(said) + _lines(wrong))
    _complaint(wrong, code)
    for each in files:
        each.taken_back()
    return code


def _found(step: Running) -> Path:
    for library in step.libraries:
        path = library.folder / "members" / step.program
        if path.exists():
            program = step.scratch / step.program
            program.write_bytes(path.read_bytes())
            program.chmod(0o700)
            return program
    raise Abend("S806", "04", f"CSV003I REQUESTED MODULE {step.program} NOT FOUND")


def _files(step: Running) -> list[Allocated]:
    return [dd for name, dd in step.dds.items() if name not in _STREAMS]


def _complaint(wrong: Path, code: int) -> None:
    """What the run-time of COBOL said before it gave up."""
    with wrong.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LOOKED_AT))
        text = file.read().decode("utf-8", "replace")
    for words, abend in _WORDS:
        if code and "libcob:" in text and words in text:
            raise Abend(abend, message=text.strip().splitlines()[-1])


def _words(parm: str) -> list[str]:
    return [parm] if parm else []


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
