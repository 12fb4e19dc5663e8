"""The logs of a service while they grow, from each of its hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlship.host.site import Site, refusal
from mlship.host.stream import Stream


@dataclass(frozen=True)
class Heard:
    """Lines that a release wrote; or, without any, which release is followed from now on, and whether it is
    live. Without a release it is no more than a sign of life."""

    release: int | None = None
    lines: tuple[str, ...] = ()
    live: bool = False


class LogSource(Protocol):
    """The logs of one host."""

    host: str

    def listen(self) -> Iterator[Heard]:
        """What is written there, until `close`. Raises Lost when the connection breaks: called again, it goes
        on where it stood. Any other MlshipError is final."""
        ...

    def close(self) -> None:
        """Leave nothing there; may be called by another thread."""
        ...


class HostedLog:
    """The logs of one service on one host: of `release`, or of the live one, whichever that is."""

    def __init__(self, site: Site, release: int | None, lines: int, within: float | None = None) -> None:
        self.host = site.host.name
        self._site, self._release = site, release
        self._begin = {"lines": lines, "age": within}
        self._places: dict[str, Any] = {}
        self._followed: set[int] = set()
        self._now: Heard | None = None
        self._stream: Stream | None = None
        self._closed = False

    def listen(self) -> Iterator[Heard]:
        given = {"places": self._places, "followed": sorted(self._followed)}
        self._stream = self._site.follow(release=self._release, **self._begin, **given)
        try:
            if not self._closed:
                yield from map(self._heard, self._stream)
        finally:
            self._stream.close()

    def close(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def _heard(self, said: Mapping[str, Any]) -> Heard:
        if said.get("ok") is False:
            raise refusal(said)
        self._places.update(said.get("places", {}))
        if "place" in said:
            self._places[str(said["release"])] = said["place"]
        heard = Heard(said.get("release"), tuple(said.get("lines", ())), bool(said.get("live")))
        if "live" not in said:
            return heard
        again, self._now = heard == self._now, heard
        self._followed.add(said["release"])
        return Heard() if again else heard
