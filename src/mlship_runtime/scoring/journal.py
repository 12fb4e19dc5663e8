"""How far a run has come: written after the bytes that it speaks of are durable, beside the output."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mlship_runtime.bundle import canonical
from mlship_runtime.errors import BadInput, SiteError
from mlship_runtime.files import read_numbered, site_error, write_atomic
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.source import Place

Total = list[Optional[float]]  # the sum (None: beyond every float) and the number of missing values


@dataclass(frozen=True)
class Piece:
    """So many bytes of a file, and their sha256."""

    size: int = 0
    sha256: str = ""


@dataclass
class Journal:
    """`bundle`, `settings` and `input` (its path and size) say what the run is of; the rest
    what is done, `control` the control totals of records that were written. `complete` says that nothing is
    left but to put files under their names."""

    bundle: str
    settings: str
    input: dict[str, Any]
    bad_file: str = ""
    place: Place = field(default_factory=Place)
    read: str = ""
    seen: int = 0
    good: int = 0
    bad: int = 0
    output: Piece = field(default_factory=Piece)
    bad_rows: Piece = field(default_factory=Piece)
    totals: dict[str, Total] = field(default_factory=dict)
    control: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = False

    def document(self) -> dict[str, Any]:
        done = {
            "position": self.place.position, "line": self.place.line, "inputSha256": self.read,
            "rowsIn": self.seen, "rowsOut": self.good, "rowsBad": self.bad,
            "outputBytes": self.output.size, "outputSha256": self.output.sha256,
            "badBytes": self.bad_rows.size, "badSha256": self.bad_rows.sha256,
            "totals": self.totals, "control": {name: str(total) for name, total in self.control.items()},
            "seconds": round(self.seconds, 3), "complete": self.complete,
        }  # fmt: skip
        return {
            "schemaVersion": 1,
            "bundle": self.bundle,
            "settings": self.settings,
            "input": self.input,
            "badFile": self.bad_file,
            "done": done,
        }


def journal_path(job: Job) -> Path:
    return Path(job.output + ".mlship-journal")


def write_journal(path: Path, journal: Journal) -> None:
    """Raises SiteError, e.g. for a full disk; the journal from before stays whole then."""
    try:
        write_atomic(path, canonical.encode(journal.document()))
    except OSError as error:
        raise site_error(f"{path} cannot be written", error) from error


def read_journal(path: Path) -> Optional[Journal]:
    """None if there is none; raises SiteError if it cannot be read."""
    found = read_numbered(path)
    if found is None:
        return None
    try:
        done = found["done"]
        return Journal(
            bundle=found["bundle"],
            settings=found["settings"],
            input=found["input"],
            bad_file=found["badFile"],
            place=Place(done["position"], done["line"]),
            read=done["inputSha256"],
            seen=done["rowsIn"],
            good=done["rowsOut"],
            bad=done["rowsBad"],
            output=Piece(done["outputBytes"], done["outputSha256"]),
            bad_rows=Piece(done["badBytes"], done["badSha256"]),
            totals=done["totals"],
            control={name: int(total) for name, total in done.get("control", {}).items()},
            seconds=done["seconds"],
            complete=done["complete"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SiteError(
            f"{path} cannot be read", cause=f"it has no {error}", fix="Begin with --fresh"
        ) from None


def check_same(journal: Journal, wanted: Journal) -> None:
    """Raise BadInput unless a run of `wanted` can go on where the one of `journal` stopped. What lies in the
    input beyond that may have been mended, or added, meanwhile; not any more if all of it had been read."""
    for what, before, now in (
        ("bundle", journal.bundle, wanted.bundle),
        ("settings", journal.settings, wanted.settings),
        ("input", journal.input["path"], wanted.input["path"]),
        ("bad rows' file", journal.bad_file if journal.bad else wanted.bad_file, wanted.bad_file),
    ):
        if before != now:
            cause = "they decide what is written" if what == "settings" else f"{before}, now {now}"
            raise BadInput(
                f"this output was begun with another {what}"
                if what != "settings"
                else "this output was begun with other settings",
                cause=cause,
                fix="Give the same ones to go on, or --fresh to begin anew",
            )
    if journal.complete and journal.input["bytes"] != wanted.input["bytes"]:
        raise BadInput("the input has changed since all of it was scored", fix="Begin anew with --fresh")
