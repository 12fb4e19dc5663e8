"""A process of this machine as the program of a step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from mlship_batch.emulator.run.abend import Abend, Cancelled
from mlship_batch.emulator.run.step import Running

_PAUSE = 0.05  # seconds between two looks at whether the job was cancelled
_KEPT = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "COB_LIBRARY_PATH", "TMPDIR")
_ABENDS = {
    signal.SIGSEGV: "S0C4",
    signal.SIGBUS: "S0C4",
    signal.SIGILL: "S0C1",
    signal.SIGFPE: "S0C9",
    signal.SIGXCPU: "S322",
    signal.SIGKILL: "S222",
}


def run(
    step: Running,
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: tuple[Path | None, Path, Path],
) -> int:
    """The exit code. `streams` are the files of standard input, output and error, the last two appended to.

    Raises Abend for a signal or what cannot be started, Cancelled when the job was.
    """
    known = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with _opened(streams[0], "rb") as given, streams[1].open("ab") as out, streams[2].open("ab") as error:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=given,
                stdout=out,
                stderr=error,
                env={**known, "PATH": path, "HOME": str(step.home), **environment},
                cwd=step.home,
                start_new_session=True,
            )
        except OSError as failed:
            raise Abend("S806", "04", f"CSV003I {step.program} CANNOT BE STARTED: {failed}") from failed
        code = _ended(step, process)
    if code >= 0:
        return code
    raise Abend(_ABENDS.get(signal.Signals(-code), "S0F3"), message=f"ENDED BY {signal.Signals(-code).name}")


def _ended(step: Running, process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait(_PAUSE)
        except subprocess.TimeoutExpired:
            if not step.cancelled():
                continue
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise Cancelled


def _opened(path: Path | None, mode: str) -> IO[bytes]:
    return Path(path or os.devnull).open(mode)
