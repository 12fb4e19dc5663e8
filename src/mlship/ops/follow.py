"""`mlship logs --follow`: what the hosts of a target write, as they write it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

from mlship.errors import MlshipError, TargetError
from mlship.host.protocol import Lost
from mlship.ops.context import Context
from mlship.ops.logs import beginning
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.following import Heard, LogSource

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)  # seconds before each try to hear of a host again

Event = Literal["line", "follows", "lost", "back", "given up"]


class Followed(Result, frozen=True, kw_only=True):
    """`line`: one that `release` wrote on `host`. `follows`: the next ones are of `release`, which is `live`
    or not. `lost`, `back`, `given up`: how the connection to `host` fares; `line` says why."""

    host: str
    event: Event
    release: int | None = None
    live: bool = False
    line: str = ""


class Following:
    """Iterated once; `hosts` are their names."""

    def __init__(self, sources: Sequence[LogSource], pauses: Sequence[float] = _PAUSES) -> None:
        self.hosts = tuple(source.host for source in sources)
        self._sources, self._pauses = sources, pauses
        self._said: queue.SimpleQueue[Followed | _Ended] = queue.SimpleQueue()
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Followed]:
        """Until it is left; then nothing of it runs on anywhere. Raises the error of the last host."""
        for source in self._sources:
            threading.Thread(target=self._listen, args=(source,), daemon=True).start()
        left = len(self._sources)
        try:
            while True:
                said = self._said.get()
                if isinstance(said, Followed):
                    yield said
                    continue
                left -= 1
                if not left:
                    raise said.why
                yield Followed(host=said.host, event="given up", line=str(said.why))
        finally:
            self._over.set()
            for source in self._sources:
                source.close()

    def _listen(self, source: LogSource) -> None:
        """One host, again and again while its connection comes and goes."""
        tries, heard = 0, False
        while not self._over.is_set():
            try:
                for said in source.listen():
                    if tries:
                        self._said.put(Followed(host=source.host, event="back"))
                    tries, heard = 0, True
                    self._pass_on(source.host, said)
            except MlshipError as error:
                if not (isinstance(error, Lost) and heard) or tries == len(self._pauses):
                    self._said.put(_Ended(source.host, error))
                    return
                if not tries:
                    self._said.put(Followed(host=source.host, event="lost", line=error.cause or error.what))
                self._over.wait(self._pauses[tries])
                tries += 1
            except Exception as error:  # noqa: BLE001 - nobody would hear of it in this thread
                why = MlshipError(f"unexpected {type(error).__name__}", cause=str(error))
                self._said.put(_Ended(source.host, why))
                return

    def _pass_on(self, host: str, heard: Heard) -> None:
        if heard.release is not None and not heard.lines:
            self._said.put(Followed(host=host, event="follows", release=heard.release, live=heard.live))
        for line in heard.lines:
            self._said.put(Followed(host=host, event="line", release=heard.release, line=line))


class _Ended:
    def __init__(self, host: str, why: MlshipError) -> None:
        self.host, self.why = host, why


def follow(
    ctx: Context,
    target: str | None = None,
    release: int | None = None,
    lines: int | None = None,
    since: str | None = None,
) -> Following:
    """The logs of `release` (None = the live one, whichever that is), beginning as `logs` does.

    Raises TargetError where no logs are kept, or nothing runs; UsageError.
    """
    count, within = beginning(lines, since)
    service = open_service(ctx, target)
    if "follow" not in service.adapter.offers:
        raise TargetError(f"{service.target} keeps no logs that mlship can follow", fix="See mlship logs")
    return Following(service.adapter.follow(release, count, within))
