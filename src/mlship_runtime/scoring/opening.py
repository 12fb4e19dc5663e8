"""The input, opened and found to fit the model, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from mlship_runtime.bundle.spec import Spec
from mlship_runtime.errors import BadInput
from mlship_runtime.scoring.forms import writer_for
from mlship_runtime.scoring.job import CSV, JSON_LINES, PARQUET, Job
from mlship_runtime.scoring.layout import check_outputs, lay_out, without_header
from mlship_runtime.scoring.source import Source, open_source


@dataclass(frozen=True)
class Opening:
    """`header` names the input's columns (none of JSON lines), `ignored` those that nobody reads."""

    source: Source
    header: tuple[str, ...]
    ignored: tuple[str, ...]


def opened(job: Job, spec: Spec) -> Opening:
    """Raises BadInput if the input cannot be read or has not the columns that the model reads."""
    source = open_source(job)
    if job.inputFormat == JSON_LINES:
        return Opening(source, (), ())
    header = source.header
    if job.inputFormat == CSV and not job.header:
        header = tuple(without_header(spec.inputs))
        if not header:
            raise BadInput("the model's input has no fixed number of columns", fix="Give a header line")
    layout = lay_out(header, spec.inputs, job.keep, lists=job.inputFormat == PARQUET)
    return Opening(source, header, tuple(layout.ignored))


def titles_of(job: Job, spec: Spec, opening: Opening) -> bytes:
    """The output's first bytes; raises BadInput if it cannot have such columns."""
    names = check_outputs(spec.outputs, job.keep, job.outputFormat != JSON_LINES)
    return writer_for(job, spec, opening.header).header(names)
