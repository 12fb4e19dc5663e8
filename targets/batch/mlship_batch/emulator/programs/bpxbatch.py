"""BPXBATCH: a shell command or a program of z/OS UNIX as a step.

Its return code is 256 times the exit code, of which a job keeps twelve bits: an exit code of 16 is CC 0000.
"""

from __future__ import annotations

from pathlib import Path

from mlship_batch.emulator.programs import child
from mlship_batch.emulator.run.abend import Abend
from mlship_batch.emulator.run.allocated import mapped
from mlship_batch.emulator.run.step import Running

KEPT = 0xFFF  # of a return code, by the job
_BAD_PARM = 0x0F00 & KEPT


def run(step: Running) -> int:
    """`PARM='SH command'` or `'PGM /path words'`, or the same in STDPARM; STDENV has NAME=value lines."""
    words = step.parm or " ".join(line.strip() for line in _given(step, "STDPARM"))
    kind, _, command = words.strip().partition(" ")
    if kind not in ("SH", "PGM") or not command.strip():
        step.output("STDERR").say(["BPXM047I BPXBATCH FAILED: PARM IS NEITHER SH NOR PGM WITH A COMMAND"])
        return _BAD_PARM
    argv = ["/bin/sh", "-c", command] if kind == "SH" else command.split()
    environment = dict(line.split("=", 1) for line in _given(step, "STDENV") if "=" in line)
    own = [dd for name, dd in step.dds.items() if not name.startswith("STD")]
    files = [mapped(dd, step.scratch, writes=not dd.shared) for dd in own]
    environment |= {f"DD_{each.dd.name}": str(each.path) for each in files}
    given = mapped(step.dds["STDIN"], step.scratch, writes=False).path if "STDIN" in step.dds else None
    out, error = step.scratch / "stdout", step.scratch / "stderr"
    try:
        code = child.run(step, argv, environment, (given, out, error))
    except Abend as abend:
        if abend.code == "S806":
            step.output("STDERR").say([str(abend)])
            return _BAD_PARM
        raise
    finally:
        for name, path in (("STDOUT", out), ("STDERR", error)):
            if path.exists() and path.stat().st_size:
                step.output(name).say(_text(path))
    for each in files:
        each.taken_back()
    return code << 8 & KEPT


def _given(step: Running, name: str) -> list[str]:
    return step.dds[name].text() if name in step.dds else []


def _text(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
