"""A batch host without z/OSMF: a folder on a machine that one runs commands on, and a command that hands a
job to its scheduler (or none, where a scheduler watches the folder).

Each job has a folder named by its token. Its script takes the folder `begun`, which only one can make: a job
that was handed in twice runs once. How it ended is written beside it when it ended, in one step.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlship.errors import TargetError
from mlship.host.protocol import Host
from mlship_batch.transport.protocol import Gone, Job, Seen, Ticket, Unsure

SCRIPT, FILE = "job.sh", "{file}"
_MISSING = "missing"
_WRAPPED = """\
#!/bin/sh
cd {folder} || exit 12
mkdir begun 2>/dev/null || exit 0
sh ./body.sh >spool.out 2>spool.err
code=$?
echo "$code" >ended.part && mv ended.part ended
exit "$code"
"""
_STATE = """\
cd "$1" 2>/dev/null || { echo missing; exit 0; }
[ -f job.sh ] || { echo missing; exit 0; }
if [ -f ended ]; then echo ended; cat ended
elif [ -d begun ]; then echo begun
else echo waits; fi
"""
_TIMEOUT = 60.0


class PlainHost:
    """See Transport. `submit` is a command with {file} for the script's path; empty, the script is also put
    into the folder `queue`, from which a scheduler takes it."""

    name = "a submit command"

    def __init__(self, host: Host, folder: str, submit: Sequence[str] = (), queue: str = "") -> None:
        self._host, self._folder, self._submit, self._queue = host, folder.rstrip("/"), tuple(submit), queue

    def send(self, job: Job) -> Ticket:
        place = f"{self._folder}/{job.token}"
        for name, path in job.files.items():
            self._host.put(path, f"{place}/{name}")
        self._put(job.text, f"{place}/body.sh")
        wrapped = _WRAPPED.format(folder=shlex.quote(place))
        self._put(wrapped, f"{place}/{SCRIPT}")
        if self._submit:
            self._run_submit(job, f"{place}/{SCRIPT}")
        else:
            self._put(wrapped, f"{self._queue.rstrip('/')}/{job.token}.sh")
        return _ticket(job)

    def look_for(self, job: Job) -> Ticket | None:
        """A job whose script is there and was never begun may not have been handed in: it is none yet."""
        state = self._state(job.token)[0]
        return _ticket(job) if state in ("begun", "ended") else None

    def seen(self, ticket: Ticket) -> Seen:
        state, *rest = self._state(ticket.correlator)
        if state == _MISSING:
            raise Gone(f"{self._host.name} does not have job {ticket.name} any more")
        if state != "ended":
            return Seen("ACTIVE" if state == "begun" else "INPUT")
        code = rest[0] if rest else ""
        if code == "CANCELED":
            return Seen("OUTPUT", code)
        if not code.isdigit():
            return Seen("OUTPUT", None)
        return Seen("OUTPUT", f"CC {int(code):04d}")

    def spool(self, ticket: Ticket) -> Iterator[tuple[str, Iterator[bytes]]]:
        self.seen(ticket)
        for name in ("spool.out", "spool.err"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, name)
                self._host.get(f"{self._folder}/{ticket.correlator}/{name}", path)
                yield name, iter([path.read_bytes()])

    def cancel(self, ticket: Ticket) -> None:
        """Only what has not begun: what runs belongs to the scheduler."""
        script = 'mkdir "$1/begun" 2>/dev/null && echo CANCELED >"$1/ended"'
        self.seen(ticket)
        place = f"{self._folder}/{ticket.correlator}"
        if self._host.run(["sh", "-c", script, "sh", place], timeout=_TIMEOUT).code:
            raise TargetError(f"job {ticket.name} runs already", fix="End it with the means of its scheduler")

    def _state(self, token: str) -> list[str]:
        done = self._host.run(["sh", "-c", _STATE, "sh", f"{self._folder}/{token}"], timeout=_TIMEOUT)
        words = done.out.decode("utf-8", "replace").split()
        if done.code or not words:
            raise TargetError(f"{self._host.name} does not tell how its jobs stand", cause=_last(done.err))
        return words

    def _run_submit(self, job: Job, file: str) -> None:
        argv = [word.replace(FILE, file) for word in self._submit]
        try:
            done = self._host.run(argv, timeout=_TIMEOUT)
        except TargetError as error:
            raise Unsure(error.what, cause=error.cause) from error
        if done.code and self.look_for(job) is None:  # else it ran the job, and passed its exit code on
            raise TargetError(
                f"{argv[0]} did not take job {job.name} in on {self._host.name}",
                cause=_last(done.err) or f"exit code {done.code}",
                fix="Try the command by hand",
            )

    def _put(self, text: str, target: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "text")
            path.write_text(text, encoding="utf-8")
            self._host.put(path, target)


def _ticket(job: Job) -> Ticket:
    return Ticket(job.name, job.token, job.token)


def _last(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
