"""Answers of one connection on their way to one write. The newest is kept back until it is known whether it
is the last one, which it then says."""

from __future__ import annotations

from mlship_runtime.serving.answer import CLOSE, Answer, Renderer


class Outgoing:
    """`gathered` are the bytes of bodies that wait to be written together, `newest` the answer put last."""

    def __init__(self, renderer: Renderer) -> None:
        self.gathered = 0
        self._render = renderer.render
        self._parts: list[bytes] = []
        self.newest: tuple[Answer, bool, bytes, bytes] | None = None

    def __bool__(self) -> bool:
        return self.newest is not None or bool(self._parts)

    def put(self, answer: Answer, headless: bool, connection: bytes, names: bytes) -> None:
        """An answer, with what `Renderer.render` takes."""
        self._settle()
        self.gathered += len(answer.body)
        self.newest = (answer, headless, connection, names)

    def put_bytes(self, data: bytes) -> None:
        """What is no answer: an interim one, whole."""
        self._settle()
        self._parts.append(data)

    def take(self, *, last: bool) -> tuple[bytes, bool]:
        """All of it, and whether the connection ends with it; `last` has the newest answer say so."""
        ends = False
        if self.newest is not None:
            answer, headless, connection, names = self.newest
            connection = CLOSE if last else connection
            ends = connection is CLOSE
            self.newest = (answer, headless, connection, names)
            self._settle()
        parts, self._parts, self.gathered = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts), ends

    def _settle(self) -> None:
        """The newest answer is as it is."""
        if self.newest is not None:
            self._parts.append(self._render(*self.newest))
            self.newest = None
