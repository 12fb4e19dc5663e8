"""One request and its answer, apart from how they travel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_CHUNK = 1 << 18


@dataclass
class Request:
    """`whole` is False where the connection broke within the body: `body` then has what had come."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    user: str
    body: BinaryIO
    whole: bool = True

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name.lower(), default)

    def chunks(self) -> Iterator[bytes]:
        self.body.seek(0)
        while chunk := self.body.read(_CHUNK):
            yield chunk

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Problem."""
        try:
            value = json.loads(b"".join(self.chunks()) or b"{}")
        except ValueError as wrong:
            raise Problem(400, 7, 4, 1, f"JSON cannot be parsed: {wrong}") from wrong
        if not isinstance(value, dict):
            raise Problem(400, 7, 4, 1, "JSON is no object")
        return value


@dataclass
class Answer:
    """`body` may be an iterator over what is large."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)


class Problem(Exception):
    """An answer of z/OSMF's own: category, rc and reason as IBM documents them."""

    def __init__(
        self, status: int, category: int, rc: int, reason: int, message: str, details: Iterable[str] = ()
    ) -> None:
        super().__init__(message)
        value = {"category": category, "rc": rc, "reason": reason, "message": message}
        if detail := list(details):
            value["details"] = detail
        self.answer = as_json(value, status)


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    given = {"Content-Type": "application/json; charset=UTF-8", **headers}
    return Answer(status, json.dumps(value).encode("utf-8"), given)


def as_text(lines: Iterable[bytes]) -> Answer:
    return Answer(200, lines, {"Content-Type": "text/plain; charset=UTF-8"})
