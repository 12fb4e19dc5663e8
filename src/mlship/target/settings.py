"""An adapter's settings out of `[targets.NAME]`: typed, and nothing unknown is ignored."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mlship.errors import ConfigError
from mlship.target.protocol import Place

S = TypeVar("S", bound=msgspec.Struct)


def read_settings(place: Place, kind: type[S]) -> S:
    """The place's settings as `kind`. Raises ConfigError that names the key and the nearest right one."""
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for key in place.settings:
        if key not in known:
            import difflib

            near = difflib.get_close_matches(key, known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(known)}"
            raise ConfigError(f"target {place.name} has no setting {key!r}", fix=hint)
    try:
        return msgspec.convert(dict(place.settings), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"a setting of target {place.name} has the wrong type", cause=str(error)) from error
