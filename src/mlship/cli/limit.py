"""--timeout: an end for what only reads. What changes a target is given the time and ends by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlship.cli.run import Run
from mlship.errors import MlshipError, RegistryError, TargetError

# A rollout that is broken off must first bring the target back, so it gets the limit as a value.
KEEPS_TIME_ITSELF = ("deploy", "rollback", "repair", "destroy")
_FAILS_AS: dict[str, type[MlshipError]] = {
    "diff": RegistryError,
    "export": RegistryError,
    "import": RegistryError,
    "push": RegistryError,
    "pull": RegistryError,
    "copy": RegistryError,
    "promote": RegistryError,
    "untag": RegistryError,
    "list": RegistryError,
    "tag": RegistryError,
    "gc": RegistryError,
    "fsck": RegistryError,
    "login": RegistryError,
} | dict.fromkeys(
    ("plan", "status", "history", "invoke", "tunnel", "logs", "doctor", "force-unlock", "serve"), TargetError
)


class _OutOfTime(BaseException):
    """No exception of the work itself, which might take it for a finding and go on."""


@contextmanager
def limited(run: Run) -> Iterator[None]:
    """Raise in the main thread when `run.timeout` seconds have gone by."""
    if (
        run.timeout is None
        or run.command in KEEPS_TIME_ITSELF
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    kind = _FAILS_AS.get(run.command, MlshipError)

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, run.timeout)
    try:
        yield
    except _OutOfTime:
        what = f"{run.command} took longer than {run.timeout:g} s"
        raise kind(what, fix="Give it more with --timeout") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
