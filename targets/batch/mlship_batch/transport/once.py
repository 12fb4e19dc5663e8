"""A job is sent at most once: what is meant to be sent is on this disk before it is, and what became of it is
there before anything waits for it."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mlship.errors import ConfigError
from mlship_batch.transport.protocol import Job, Ticket, Transport, Unsure
from mlship_runtime.files import make_folder, read_numbered, write_json

_VERSION = 1
_LOOKS = (0.0, 1.0, 2.0, 4.0)  # seconds before each look for a job that may have been taken in
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def new_token() -> str:
    """What no other job ever had."""
    return "M" + "".join(secrets.choice(_LETTERS) for _ in range(15))


def submit_once(
    transport: Transport,
    note: Path,
    job: Callable[[str], Job],
    pause: Callable[[float], None] = time.sleep,
) -> Ticket:
    """The ticket of the one job that belongs to `note`, a file that this makes. Called again, by this process
    or after it was killed, it finds the same job; `job(token)` writes it.

    Raises ConfigError where the note is another job's, Unsure when the job was sent, no answer came and
    the host does not show it: nothing is sent again then.
    """
    kept = read_numbered(note, _VERSION)
    wanted = job(kept["token"] if kept else new_token())
    if kept is not None and kept["digest"] != _digest(wanted):
        raise ConfigError(
            f"{note} remembers another job ({kept['name']})",
            cause="it was sent from there, or the text has changed since",
            fix="Let that one end with its own text, or remove the file to give it up",
        )
    if kept is not None and kept["ticket"]:
        return Ticket(**kept["ticket"])
    if kept is None:
        make_folder(note.parent)
        _write(note, wanted, None)
    ticket = transport.look_for(wanted) if kept else None
    if ticket is None:
        try:
            ticket = transport.send(wanted)
        except Unsure as unsure:
            ticket = _found(transport, wanted, pause)
            if ticket is None:
                raise Unsure(
                    f"it is not known whether job {wanted.name} was taken in",
                    cause=unsure.cause,
                    fix=f"Look for {wanted.token} on the host; the same command looks for it, too",
                ) from unsure
    _write(note, wanted, ticket)
    return ticket


def _found(transport: Transport, job: Job, pause: Callable[[float], None]) -> Ticket | None:
    for wait in _LOOKS:
        pause(wait)
        ticket = transport.look_for(job)
        if ticket is not None:
            return ticket
    return None


def _digest(job: Job) -> str:
    return hashlib.sha256(job.text.encode("utf-8")).hexdigest()


def _write(note: Path, job: Job, ticket: Ticket | None) -> None:
    value = {
        "schemaVersion": _VERSION,
        "name": job.name,
        "token": job.token,
        "digest": _digest(job),
        "ticket": asdict(ticket) if ticket else None,
    }
    write_json(note, value)
