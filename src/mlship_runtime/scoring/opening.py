"""The input, opened and found to fit the model, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlship_runtime.errors import BadInput
from mlship_runtime.records.form import form_of
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.write import alike
from mlship_runtime.scoring.forms import writer_for
from mlship_runtime.scoring.job import CSV, JSON_LINES, PARQUET, RECORDS, Job
from mlship_runtime.scoring.layout import Tensors, check_outputs, lay_out, names_of, without_header
from mlship_runtime.scoring.source import Source, open_source


@dataclass(frozen=True)
class Opening:
    """`header` names the input's columns (none of JSON lines), `ignored` those that nobody reads."""

    source: Source
    header: tuple[str, ...]
    ignored: tuple[str, ...]


def settled(job: Job, spec: Tensors) -> Job:
    """`job` with what follows from its copybooks: fields that are no output of the model are kept columns of
    the same name, and the columns of records that are read have the names that the model and the output know
    them by. Raises BadInput."""
    if job.outputFormat == RECORDS and not job.keep:
        outputs = {alike(name) for one in spec.outputs for name in names_of(one)}
        columns = Schema(form_of(job.writes)).own_columns
        job = replace(job, keep=tuple(column for column in columns if alike(column) not in outputs))
    if job.inputFormat != RECORDS:
        return job
    schema = Schema(form_of(job.reads))
    if not job.keep and not spec.inputs:
        return replace(job, keep=tuple(schema.own_columns))
    wanted = [*job.keep, *(name for one in spec.inputs for name in names_of(one))]
    known = {alike(column): field.name for column, field in schema.columns.items()}
    names = {
        known[alike(name)]: name for name in wanted if name not in schema.columns and alike(name) in known
    }
    return replace(job, reads={**job.reads, "names": {**schema.by_field, **names}}) if names else job


def opened(job: Job, spec: Tensors) -> Opening:
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


def titles_of(job: Job, spec: Tensors, opening: Opening) -> bytes:
    """The output's first bytes; raises BadInput if it cannot have such columns."""
    if job.outputFormat == RECORDS:
        return writer_for(job, spec, opening.header).header(())
    names = check_outputs(spec.outputs, job.keep, job.outputFormat != JSON_LINES)
    return writer_for(job, spec, opening.header).header(names)
