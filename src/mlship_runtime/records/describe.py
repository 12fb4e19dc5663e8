"""What a copybook says, as a document of JSON."""

from __future__ import annotations

from typing import Any

from mlship_runtime.records.schema import Schema


def described(schema: Schema) -> dict[str, Any]:
    """The record, its fields with offsets from 0 and lengths in bytes, and the names of ranges and values."""
    layout = schema.layout
    by_field = {id(field): column for column, field in schema.columns.items()}
    return {
        "schemaVersion": 1,
        "record": layout.record,
        "length": layout.length,
        "shortest": layout.shortest,
        "fields": [
            {
                "name": field.name,
                "column": by_field.get(id(field), ""),
                "offset": field.offset,
                "length": field.length,
                "kind": field.kind,
                "picture": field.picture,
                "digits": field.digits,
                "scale": field.scale,
                "signed": field.signed,
                "sign": _sign(field.leading, field.separate)
                if field.kind == "zoned" and field.signed
                else "",
                "redefines": field.view,
                "depends": field.needs[-1][0] if field.needs else "",
            }
            for field in layout.fields
        ],
        "depending": [
            {"name": counter.name, "least": counter.least, "most": counter.most}
            for counter in layout.counters
        ],
        "renames": [
            {"name": name, "offset": offset, "length": length} for name, offset, length in layout.renames
        ],
        "conditions": [
            {"name": condition.name, "of": item.shown, "values": list(condition.values)}
            for item in layout.item.walk()
            for condition in item.conditions
        ],
    }


def _sign(leading: bool, separate: bool) -> str:
    return ("leading" if leading else "trailing") + (" separate" if separate else "")
