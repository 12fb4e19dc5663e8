"""What is to be scored: the job that `mlship score` or a host writes as JSON, and the formats of files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mlship_runtime.bundle import canonical
from mlship_runtime.errors import BadInput
from mlship_runtime.records.form import form_of

STREAM = "-"  # standard input or output
CSV, JSON_LINES, PARQUET, RECORDS = "csv", "jsonl", "parquet", "records"
FORMATS = (CSV, JSON_LINES, PARQUET, RECORDS)
_SUFFIXES = {
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}
_WAYS = 1  # of cutting into chunks and of writing; another number for other bytes from the same rows


@dataclass(frozen=True)
class Job:
    """Paths are absolute, or `-`. `delimiter` is of CSV, in and out; `packages` is a folder to take pyarrow
    from where the bundle has none; `checkpoint` is in seconds; no `workers` means one for each processor.
    With several `threads` the engine adds up in another order, which can change a last digit; several workers
    change nothing. `reads` and `writes` are the forms of records (records/form.py), in and out; `totals` gets
    the control totals of records that are written, and the file beside it in `.dat` the same as records. What
    changes no byte of the output (all that `settings_digest` leaves out) may change between a run and the one
    that goes on."""

    input: str
    output: str
    inputFormat: str = CSV  # noqa: N815  as in JSON
    outputFormat: str = CSV  # noqa: N815
    keep: tuple[str, ...] = ()
    header: bool = True
    delimiter: str = ","
    bad: str = ""
    maxBad: int = 0  # noqa: N815
    report: str = ""
    workers: int = 0
    threads: int = 1
    chunkBytes: int = 256 << 10  # noqa: N815
    chunkRows: int = 4096  # noqa: N815
    checkpoint: float = 5.0
    force: bool = False
    fresh: bool = False
    packages: str = ""
    reads: Mapping[str, Any] = field(default_factory=dict)
    writes: Mapping[str, Any] = field(default_factory=dict)
    totals: str = ""

    @property
    def resumable(self) -> bool:
        return STREAM not in (self.input, self.output)

    @property
    def written(self) -> tuple[str, ...]:
        """Every file that is put in place in the end; some are empty, or a stream."""
        beside = str(Path(self.totals).with_suffix(".dat")) if self.totals else ""
        return (self.output, self.bad, self.report, self.totals, beside)

    def settings_digest(self) -> str:
        """sha256 over what decides the bytes of the output, besides bundle and input."""
        forms = ("inputFormat", "outputFormat", "keep", "header", "delimiter")
        settings = {name: getattr(self, name) for name in (*forms, "threads", "chunkBytes", "chunkRows")}
        settings.update({name: form for name in ("reads", "writes") if (form := getattr(self, name))})
        return "sha256:" + hashlib.sha256(canonical.encode({**settings, "ways": _WAYS})).hexdigest()

    def document(self) -> dict[str, Any]:
        return {"schemaVersion": 1, **asdict(self)}


def read_job(path: str) -> Job:
    """The job in a file; raises BadInput for what is not one."""
    try:
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"the job {path} cannot be read", cause=str(error)) from error
    return job_of(document)


def job_of(document: Any) -> Job:
    """The job that `document` describes; raises BadInput that names the field at fault."""
    if not isinstance(document, dict) or document.get("schemaVersion") != 1:
        raise BadInput("the job is not an object with schemaVersion 1")
    given = {name: value for name, value in document.items() if name != "schemaVersion"}
    known = {part.name for part in fields(Job)}
    for name in given:
        if name not in known:
            raise BadInput(f"the job has an unknown part {name!r}", field=name)
    for name in ("input", "output"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise BadInput(f"the job names no {name}", field=name)
    given["keep"] = tuple(given.get("keep", ()))
    _check_types(given)
    job = Job(**given)
    _check(job)
    return job


def format_of(path: str, given: str = "") -> str:
    """The format of a file, by its suffix, or as `given` where that does not tell; raises BadInput."""
    if given and given not in FORMATS:
        raise BadInput(f"{given!r} is not a format", fix=f"Known are {', '.join(FORMATS)}")
    found = _SUFFIXES.get(Path(path).suffix.lower(), given)
    if not found:
        what = "stdin and stdout have no suffix" if path == STREAM else f"{path} has no known suffix"
        raise BadInput(f"the format is not known: {what}", fix=f"Say which: {', '.join(FORMATS)}")
    return found


def _check_types(given: Mapping[str, Any]) -> None:
    sample = Job("-", "-")
    for name, value in given.items():
        wanted = type(getattr(sample, name))
        fits = type(value) in (int, float) if wanted is float else type(value) is wanted
        if not fits:
            raise BadInput(f"the job's {name} is not of type {wanted.__name__}", field=name)


def _check_records(job: Job) -> None:
    for kind, form in ((job.inputFormat, job.reads), (job.outputFormat, job.writes)):
        if (kind == RECORDS) != bool(form):
            raise BadInput("records and a copybook go together", fix="Give both, or neither")
        if form:
            form_of(form)
    if job.totals and job.outputFormat != RECORDS:
        raise BadInput("control totals are of records that are written")


def _check(job: Job) -> None:
    """Raise BadInput for what does not go together."""
    for kind in (job.inputFormat, job.outputFormat):
        format_of("", kind)
    if min(job.threads, job.chunkBytes, job.chunkRows) < 1 or min(job.workers, job.maxBad) < 0:
        raise BadInput("threads and chunks are 1 or more, workers and bad rows 0 or more")
    if (
        len(job.delimiter) != 1
        or not job.delimiter.isascii()
        or job.delimiter in '"\r\n\0+-.'
        or (job.delimiter.isalnum())
    ):
        raise BadInput(f"{job.delimiter!r} cannot separate fields", fix='Usual are "," ";" "|" and a tab')
    if job.keep and not job.header and job.inputFormat == CSV:
        raise BadInput("columns to keep are named by the header line", fix="Give a file that has one")
    if len(set(job.keep)) != len(job.keep):
        raise BadInput("a column is to be kept twice", cause=", ".join(job.keep))
    if job.maxBad and not job.bad:
        raise BadInput("bad rows may be let be only where they are written down", fix="Add --bad FILE")
    if (STREAM, PARQUET) in ((job.input, job.inputFormat), (job.output, job.outputFormat)):
        raise BadInput("Parquet is read and written in files only", fix="Use CSV or JSON lines for streams")
    _check_records(job)
    places = [path for path in (job.input, *job.written) if path not in ("", STREAM)]
    real = [os.path.realpath(path) for path in places]
    for at, path in enumerate(real):
        if path in real[:at]:
            raise BadInput(f"{places[at]} is given for two things", fix="Give each a file of its own")
