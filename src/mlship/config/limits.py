"""What clients may ask of a release: what a bundle says of one request, and all that a target can set.

`mlship_runtime.serving.limits` has the defaults, and says what each is.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from mlship.config.sizes import Size, bytes_of

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is a matter of the model: how large one request may be."""

    body: Size | None = None
    rows: Count | None = None
    depth: Count | None = None

    def as_set(self) -> dict[str, Any]:
        """Those that are set, as release records and bundles have them: camelCase, sizes in bytes."""
        found = {}
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                name = re.sub(r"_(\w)", lambda part: part[1].upper(), field.name)
                found[name] = bytes_of(value) if isinstance(value, str) else value
        return found


class ServingLimits(RequestLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them; what a target sets goes before what a bundle says."""

    header: Size | None = None
    target: Size | None = None
    header_time: Seconds | None = None
    body_time: Seconds | None = None
    rate: Count | None = None
    request_time: Seconds | None = None
    write_time: Seconds | None = None
    idle: Seconds | None = None
    linger: Seconds | None = None
    pipeline: Count | None = None
    connections: Count | None = None
    queue: Count | None = None
    queue_time: Seconds | None = None
    buffered: Size | None = None
