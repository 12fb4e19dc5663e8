"""`serve` that is interrupted before its server is ready has served nothing, and says so."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

import mlship.ops.foreground as serving
from mlship.errors import TargetError

SILENT = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_before_it_was_ready(number: int) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        serving.run(SILENT, lambda where: pytest.fail("it was never ready"))
    timer.join()


def test_a_server_that_ends_by_itself_is_no_success() -> None:
    with pytest.raises(TargetError, match="ended before it was ready: exit code 0"):
        serving.run([sys.executable, "-I", "-S", "-c", ""], lambda where: None)


def test_in_another_thread_signals_are_left_alone() -> None:
    """A notebook or a server may call a verb where no handler can be set."""
    seen: list[object] = []

    def work() -> None:
        with serving.handled(lambda number, frame: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
