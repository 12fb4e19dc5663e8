"""How much clients may ask of a release, and how slow they may be. Sizes in bytes, times in seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from mlship_runtime.errors import SiteError

_SHARED = ("connections", "queue", "buffered")


@dataclass(frozen=True)
class Limits:
    """The defaults. Of what a bundle or a target sets, `read_limits` makes these; `share` divides among
    workers what is meant for the release as a whole."""

    header: int = 16 << 10  # all header lines of a request together
    target: int = 8 << 10
    body: int = 8 << 20
    depth: int = 64  # brackets within brackets in JSON
    rows: int = 100_000  # in one request
    header_time: float = 5.0  # from a request's first byte to the end of its header
    body_time: float = 15.0  # for the body, and longer by what `rate` allows for the bytes that have come
    rate: int = 1024  # bytes a second: the slowest sender and the slowest reader that are waited for
    request_time: float = 60.0  # from a request's first byte to its turn at the model
    write_time: float = 30.0  # in it a client takes what waits for it, or as much of that as `rate` asks for
    idle: float = 75.0  # longer than the 60 s after which load balancers let go: the client goes first
    linger: float = 2.0  # how long late bytes are read and thrown away after the last answer
    pipeline: int = 128  # requests of one connection that wait for their answers
    connections: int = 4096
    queue: int = 1024  # connections whose requests wait for the model
    queue_time: float = 1.0  # how long they wait before they are told to come again later
    buffered: int = 256 << 20  # bytes of bodies that are incomplete or wait

    def share(self, workers: int) -> Limits:
        """What one of so many workers may take of what the release may."""
        each = {name: -(-getattr(self, name) // max(1, workers)) for name in _SHARED}
        return replace(self, **each)


_KINDS = {
    re.sub(r"_(\w)", lambda found: found[1].upper(), field.name): (field.name, field.type)
    for field in fields(Limits)
}


def read_limits(*settings: Mapping[str, Any]) -> Limits:
    """The limits as set, later settings before earlier ones; names are camelCase (`headerTime`). Raises
    SiteError for what is none: a limit that this runtime does not keep must not pass for one."""
    found: dict[str, Any] = {}
    for given in settings:
        for key, value in given.items():
            if key not in _KINDS:
                raise SiteError(
                    f"{key} is no limit that this runtime keeps", fix="Leave it out, or build the bundle anew"
                )
            name, kind = _KINDS[key]
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 < value < 1 << 53 or (kind == "int" and int(value) != value):
                raise SiteError(f"the limit {key} is {value!r}", fix="Set a number above 0")
            found[name] = value
    return Limits(**found)
