"""The reader and the writer that a job asks for, and the scorer made of them."""

from __future__ import annotations

from collections.abc import Sequence

from mlship_runtime.records.form import form_of
from mlship_runtime.scoring.chunk import ChunkScorer, Predict, Reader, Writer
from mlship_runtime.scoring.csv_rows import CsvRows
from mlship_runtime.scoring.job import CSV, PARQUET, RECORDS, Job
from mlship_runtime.scoring.json_rows import JsonRows
from mlship_runtime.scoring.layout import Tensors, lay_out
from mlship_runtime.scoring.writing import CsvWriter, JsonWriter


def scorer_for(job: Job, spec: Tensors, header: Sequence[str], predict: Predict) -> ChunkScorer:
    """`header` names the input's columns, if its format does. Raises BadInput where they do not fit."""
    return ChunkScorer(predict, _reader(job, spec, header), writer_for(job, spec, header), job.maxBad)


def writer_for(job: Job, spec: Tensors, header: Sequence[str]) -> Writer:
    if job.outputFormat == PARQUET:
        from mlship_runtime.scoring.parquet import ParquetFrames

        return ParquetFrames(spec.outputs, job.keep)
    if job.outputFormat == RECORDS:
        from mlship_runtime.scoring.record_writer import RecordWriter

        return RecordWriter(form_of(job.writes), spec.outputs, job.keep)
    if job.outputFormat == CSV:
        return CsvWriter(spec.outputs, job.delimiter)
    return JsonWriter(spec.outputs, job.keep)


def _reader(job: Job, spec: Tensors, header: Sequence[str]) -> Reader:
    if job.inputFormat == CSV:
        return CsvRows(lay_out(header, spec.inputs, job.keep), job.delimiter)
    if job.inputFormat == PARQUET:
        from mlship_runtime.scoring.parquet import ParquetRows

        return ParquetRows(lay_out(header, spec.inputs, job.keep, lists=True))
    if job.inputFormat == RECORDS:
        from mlship_runtime.scoring.record_rows import RecordRows

        return RecordRows(form_of(job.reads), lay_out(header, spec.inputs, job.keep))
    return JsonRows(spec.inputs, job.keep)
