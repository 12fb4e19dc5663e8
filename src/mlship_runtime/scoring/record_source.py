"""Records as a source of chunks: a place counts bytes and, as its line, the record that comes next."""

from __future__ import annotations

from mlship_runtime.errors import BadInput
from mlship_runtime.records.form import FB, form_of
from mlship_runtime.records.framing import Framing
from mlship_runtime.records.schema import Schema
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.source import ByteSource, Place

_LONGEST = 1 << 25  # bytes of a block


class RecordSource(ByteSource):
    """`header` names the columns of the copybook; a chunk is whole records (blocks). Raises BadInput for a
    file of fixed records that is not a multiple of their length, before any is read."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        schema = Schema(form_of(job.reads))
        self._framing = Framing(schema.form.recfm, schema.length)
        self.header = tuple(schema.columns)
        self._records = 0
        if self.total is not None and schema.form.recfm == FB and self.total % schema.length:
            raise self._cut_short(self.total // schema.length + 1, self.total % schema.length)

    def _next(self) -> bytes:
        size = max(self._step, self._framing.length)
        while True:
            self._waiting = self._fill(self._waiting, size)
            end, self._records = self._framing.whole(self._waiting[:size], self.place.line)
            if end:
                data, self._waiting = self._waiting[:end], self._waiting[end:]
                return data
            if not self._waiting:
                return b""
            if self._ended or size >= _LONGEST:
                raise self._cut_short(self.place.line, len(self._waiting))
            size = min(2 * size, _LONGEST)

    def _advance(self, data: bytes) -> None:
        self._hash.update(data)
        self.place = Place(self.place.position + len(data), self.place.line + self._records)

    def _cut_short(self, number: int, length: int) -> BadInput:
        cause = f"{length} bytes are there, a record has {self._framing.length}"
        if self._framing.recfm != FB:
            cause = f"its descriptor word says that it is longer than the {length} bytes that are there"
        fix = "Was it cut off, or is the record of another length?"
        return BadInput(f"{self._name}: record {number}, the last, is not whole", cause=cause, fix=fix)
