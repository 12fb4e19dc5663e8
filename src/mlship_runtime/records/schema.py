"""A form of records with its layout, and what its fields are called in tables. Standard library only."""

from __future__ import annotations

from functools import lru_cache

from mlship_runtime.errors import BadInput
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.layout import Field

Counts = tuple[int, ...]


class Schema:
    """A layout with the names that its columns have in tables. Raises BadInput for a name that maps nothing,
    and for two fields of one name."""

    def __init__(self, form: RecordForm) -> None:
        self.form, self.layout = form, form.layout()
        self.columns: dict[str, Field] = {}
        left = dict(form.names)
        for field in self.layout.fields:
            if field.filler:
                continue
            column = left.pop(field.name, None) or left.pop(field.column, None) or field.column
            if column in self.columns:
                raise BadInput(
                    f"two fields of {form.name} are called {column}", field=column, fix="Map one of them"
                )
            self.columns[column] = field
        for name in left:
            raise BadInput(f"{form.name} has no field {name}, which is mapped", field=name)
        self._at = lru_cache(maxsize=4096)(self._fields_at)

    @property
    def length(self) -> int:
        """Of records in a file: of fixed ones with what stands behind the copybook's fields."""
        return max(self.layout.length, self.form.lrecl if self.form.recfm == "fb" else 0)

    @property
    def own_columns(self) -> list[str]:
        """The columns of the first view of each part of a record."""
        return [column for column, field in self.columns.items() if not field.view]

    @property
    def by_field(self) -> dict[str, str]:
        """The mapped names, by COBOL's."""
        return {field.name: column for column, field in self.columns.items() if column != field.column}

    def fields_at(self, counts: Counts) -> tuple[dict[str, Field], int]:
        """The fields by column (fillers, too), and the length, of records with so many elements."""
        return self._at(counts)

    def _fields_at(self, counts: Counts) -> tuple[dict[str, Field], int]:
        given = {counter.name: count for counter, count in zip(self.layout.counters, counts)}
        fields = {field.column: field for field in self.layout.at(given)}
        found = {name: fields[one.column] for name, one in self.columns.items() if one.column in fields}
        found.update({column: field for column, field in fields.items() if field.filler})
        return found, self.layout.length_at(given)
