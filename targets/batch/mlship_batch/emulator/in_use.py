"""Who uses which data set: jobs and requests, alone (OLD, NEW, MOD) or beside others (SHR)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping


class InUse:
    """Users by data set. A job takes all it names at once, so that none waits for another in a ring."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users: dict[str, dict[str, bool]] = {}

    def take(self, user: str, wanted: Mapping[str, bool], go_on: Callable[[], bool] = lambda: False) -> bool:
        """Use all of `wanted` (data set -> alone), waiting while `go_on` says so; False: not to be had."""
        with self._changed:
            while not all(self._free(user, dsn, alone) for dsn, alone in wanted.items()):
                if not go_on():
                    return False
                self._changed.wait(0.1)
            for dsn, alone in wanted.items():
                users = self._users.setdefault(dsn, {})
                users[user] = users.get(user, False) or alone
            return True

    def give_back(self, user: str) -> None:
        with self._changed:
            for dsn in list(self._users):
                self._users[dsn].pop(user, None)
                if not self._users[dsn]:
                    del self._users[dsn]
            self._changed.notify_all()

    def users(self, dsn: str) -> list[str]:
        with self._changed:
            return sorted(self._users.get(dsn, ()))

    def _free(self, user: str, dsn: str, alone: bool) -> bool:
        others = [kept for name, kept in self._users.get(dsn, {}).items() if name != user]
        return not others if alone else not any(others)
