"""What goes wrong between here and a registry, sorted by what helps: repeat, log in, or tell the user."""

from __future__ import annotations

from mlship.errors import RegistryError


class Passing(RegistryError):
    """It may work when repeated: a connection that was cut, a time that ran out, a server that is busy.

    `pause` is how long the server wants to be left alone, in seconds; `reached` whether anybody answered
    there, now or before.
    """

    def __init__(
        self, what: str, *, cause: str = "", fix: str = "", pause: float | None = None, reached: bool = True
    ) -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.pause, self.reached = pause, reached


class TooSlow(Passing):
    """What comes, comes in drops."""


class NotLetIn(RegistryError):
    """Credentials are missing, or do not hold."""


class Refused(RegistryError):
    """An answer that says no. `status` is its number, `codes` what the registry calls it (`NAME_UNKNOWN`)."""

    def __init__(
        self, what: str, *, cause: str = "", fix: str = "", status: int, codes: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.status, self.codes = status, codes
