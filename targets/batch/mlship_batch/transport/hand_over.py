"""Hand-over: a job and its files as a folder for the site's own change process; how it ended comes back as
a file, and nothing here asks the host.

The kit has the job's text, its files with their digests in `kit.json`, and what to do in README.txt. The
answer is `answer.json` beside them: {"token", "retcode", "steps": {name: how it ended}, "files": {name:
sha256}}.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlship.errors import ConfigError, TargetError
from mlship_batch.transport.protocol import Gone, Job, Seen, StepSeen, Ticket
from mlship_runtime.files import make_folder, read_json, remove, sync_folder, write_json

ANSWER, KIT, TEXT = "answer.json", "kit.json", "job.txt"
_VERSION = 1
_README = """\
1. Compare the files with their SHA-256 in kit.json.
2. Bring them to the host and run job.txt there, once.
3. Write answer.json beside this file:
   {{"token": "{token}", "retcode": "CC 0000", "steps": {{}}, "files": {{}}}}
   with the return code as the host shows it (CC nnnn, ABEND Sxxx, JCL ERROR ...), each step with its own, and
   the SHA-256 of every file of the spool that lies in the folder spool.
4. Go on with mlship deploy TARGET --continue.
"""


class HandOver:
    """See Transport. Kits lie below `folder`, each under its token."""

    name = "hand-over"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, job: Job) -> Ticket:
        try:
            return self._sent(job)
        except OSError as error:
            raise TargetError(f"the kit of job {job.name} cannot be written", cause=str(error)) from error

    def _sent(self, job: Job) -> Ticket:
        place = self._folder / job.token
        beside = self._folder / f".{job.token}.part"
        remove(beside)
        make_folder(beside)
        (beside / TEXT).write_text(job.text, encoding="utf-8")
        for name, source in job.files.items():
            if Path(name).name != name or name in (TEXT, KIT, ANSWER):
                raise TargetError(f"{name!r} cannot be the name of a file in a kit")
            shutil.copyfile(source, beside / name)
        (beside / "README.txt").write_text(_README.format(token=job.token), encoding="utf-8")
        digests = {path.name: _digest(path) for path in sorted(beside.iterdir())}
        kit = {"schemaVersion": _VERSION, "name": job.name, "token": job.token, "files": digests}
        write_json(beside / KIT, kit, 0o644)
        beside.rename(place)
        sync_folder(self._folder)
        return _ticket(job)

    def look_for(self, job: Job) -> Ticket | None:
        return _ticket(job) if (self._folder / job.token / KIT).exists() else None

    def seen(self, ticket: Ticket) -> Seen:
        """Raises ConfigError for an answer that is none, or is another job's."""
        place = self._folder / ticket.correlator
        if not (place / KIT).exists():
            raise Gone(f"the kit of job {ticket.name} is gone", cause=f"{place} is not there")
        answer = read_json(place / ANSWER)
        if answer is None:
            return Seen("INPUT")
        if answer.get("token") != ticket.correlator:
            raise ConfigError(f"{place / ANSWER} is the answer to another job", fix="Put the right one there")
        retcode, steps = answer.get("retcode"), answer.get("steps", {})
        if not isinstance(retcode, str) or not isinstance(steps, dict):
            raise ConfigError(f"{place / ANSWER} names no return code", fix="See README.txt beside it")
        return Seen("OUTPUT", retcode, tuple(StepSeen(name, str(how)) for name, how in steps.items()))

    def spool(self, ticket: Ticket) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Raises TargetError for a file that is not what the answer says."""
        place = self._folder / ticket.correlator
        answer: dict[str, Any] = read_json(place / ANSWER) or {}
        for name, digest in sorted((answer.get("files") or {}).items()):
            path = place / "spool" / Path(name).name
            if not path.is_file() or _digest(path) != digest:
                raise TargetError(
                    f"{path} is not the file that the answer names",
                    cause="it is missing, or its SHA-256 is another",
                    fix="Bring it over again, as binary",
                )
            yield name, iter([path.read_bytes()])

    def cancel(self, ticket: Ticket) -> None:
        """What people have in their hands is not taken away."""
        raise TargetError(f"job {ticket.name} was handed over", fix="Ask those who have it not to run it")


def _ticket(job: Job) -> Ticket:
    return Ticket(job.name, job.token, job.token)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
