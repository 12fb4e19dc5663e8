"""`mlship batch submit`: one job, from its file to its judgement."""

from __future__ import annotations

import re
from pathlib import Path

from mlship.errors import ConfigError, TargetError
from mlship.result import Result
from mlship.target.verbs import Asked
from mlship_batch.jcl.template import with_correlator
from mlship_batch.transport.once import submit_once
from mlship_batch.transport.outcomes import judge
from mlship_batch.transport.protocol import Gone, Job
from mlship_batch.transport.rest import Access, Rest
from mlship_batch.transport.waiting import Patience, save_spool, until_ended
from mlship_batch.transport.zosmf import Zosmf
from mlship_runtime.files import remove

_SPOOLED = re.compile(r"\d{3}-.+")


class StepEnded(Result, frozen=True):
    """One step and how it ended."""

    step: str
    ended: str


class Submitted(Result, frozen=True):
    """A job that went well; `spool` is the folder of what it wrote."""

    job: str
    number: str
    retcode: str
    steps: tuple[StepEnded, ...]
    spool: str


def submit(asked: Asked) -> Result:
    """Raises ConfigError for options and JCL that cannot be, TargetError where nothing can be written here,
    and what became of the job otherwise."""
    try:
        return _submitted(asked)
    except OSError as error:
        raise TargetError("what belongs to the job cannot be kept here", cause=str(error)) from error


def _submitted(asked: Asked) -> Result:
    values = asked.values
    text, folder = _read(values["file"]), _ours(values["spool"])
    transport = Zosmf(Rest(_access(asked)))
    note = folder.with_name(folder.name + ".job.json")
    ticket = submit_once(transport, note, lambda token: _job(text, token))
    asked.progress.say(f"job {ticket.name} ({ticket.number}) was taken in")
    try:
        seen = until_ended(transport, ticket, Patience(deadline=values["wait"]))
        save_spool(transport, ticket, folder)
    except Gone as gone:
        fix = f"Find out whether it did its work; remove {note} to send it anew"
        raise Gone(gone.what, cause=gone.cause, fix=fix) from gone
    remove(note)  # from here on the same command means another job
    judge(ticket.name, seen, values["max_rc"])
    steps = tuple(StepEnded(step=step.name, ended=step.completion or "") for step in seen.steps)
    return Submitted(
        job=ticket.name,
        number=ticket.number,
        retcode=seen.retcode or "",
        steps=steps,
        spool=str(folder),
    )


def _ours(folder: Path) -> Path:
    """A folder that may be replaced: not there yet, or with nothing in it but what an earlier job wrote."""
    if folder.name in ("", "..") or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder} cannot be the folder for what the job writes", fix="Name one of its own")
    strangers = [path.name for path in folder.glob("*") if not _SPOOLED.fullmatch(path.name)]
    if strangers:
        raise ConfigError(
            f"{folder} has something else in it ({strangers[0]}), and would be replaced",
            fix="Name a folder of its own in --spool",
        )
    return folder


def _job(text: str, token: str) -> Job:
    name, cards = with_correlator(text, token)
    return Job(name, token, cards)


def _access(asked: Asked) -> Access:
    values = asked.values
    lines = _read(values["password_file"]).splitlines()
    if not lines or not lines[0]:
        raise ConfigError(f"{values['password_file']} has no password", fix="Write it into the first line")
    access = Access(values["url"], values["user"], lines[0], values["ca"])
    access.connect()  # what cannot be an address is said before anything is written
    return access


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", cause=str(error)) from error
