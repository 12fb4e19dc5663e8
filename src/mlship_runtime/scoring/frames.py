"""What passes between a run and its worker processes: a JSON object and bytes, each with its length."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, Optional

from mlship_runtime.scoring.rows import Bad, Scored

_LENGTHS = struct.Struct("<QQ")


def send(stream: IO[bytes], message: Mapping[str, Any], data: bytes = b"") -> None:
    head = json.dumps(message).encode()
    stream.write(_LENGTHS.pack(len(head), len(data)) + head)
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Optional[tuple[dict[str, Any], bytes]]:
    """The next message and its bytes; None if the other side has gone."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    first, second = _LENGTHS.unpack(lengths)
    head, data = stream.read(first), stream.read(second)
    if len(head) < first or len(data) < second:
        return None
    return json.loads(head), data


def told(scored: Scored) -> dict[str, Any]:
    """All of what became of a chunk but its bytes."""
    names = ("seen", "good", "bad", "totals", "control")
    return {name: getattr(scored, name) for name in names}


def understood(message: Mapping[str, Any], data: bytes) -> Scored:
    bad = [Bad(*row) for row in message["bad"]]
    return Scored(message["seen"], message["good"], bad, message["totals"], data, message["control"])
