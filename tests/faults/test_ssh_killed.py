"""A service whose processes are killed while it is deployed to by SSH, and a deployer that sleeps through the
loss of its lock. (The client is killed at every step by the conformance kit.)"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

import pytest
from far_target import FarTarget
from sampling import Some

from mlship.errors import MlshipError
from mlship.target.conformance import EndingLedger, deploy, open_ledger
from mlship.target.lock import break_lock
from mlship.target.plan import Action
from mlship.target.protocol import Given

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(1800)]
STEPS = 12  # more actions than an upgrade has


def pids(seen: dict[str, Any], what: str) -> list[int]:
    if what == "supervisor":
        return [seen["supervisor"]["pid"]]
    return [worker["pid"] for x in seen["releases"] if x["number"] == seen["live"] for worker in x["workers"]]


@pytest.mark.parametrize("what", ["supervisor", "worker"])
def test_processes_of_the_service(far: FarTarget, what: str, some: Some) -> None:
    """SIGKILL before the n-th action: it succeeds all the same, or is refused and the next one succeeds."""
    for step in some.among(range(STEPS), cost=12):
        before, wanted = far.answers(), far.other()
        adapter = far.adapter()
        killed = _killing(adapter, step, what)
        with suppress(MlshipError):
            deploy(adapter, open_ledger(adapter), wanted)
        assert killed or step > 5, "an upgrade has at least so many actions"
        assert far.answers() in (before, wanted.digest)
        far.deploy(wanted)
        assert far.answers() == wanted.digest


def _killing(adapter: Any, step: int, what: str) -> list[int]:
    """Make the adapter kill before its action number `step`; who was killed."""
    killed: list[int] = []
    run, left = adapter.run, [step]

    def do(action: Action, given: Given) -> dict[str, Any]:
        if left[0] == 0:
            for pid in pids(adapter.site.call("observe"), what):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        left[0] -= 1
        return run(action, given)  # type: ignore[no-any-return]

    adapter.run = do
    return killed


def test_a_deployer_who_slept_is_fenced(far: FarTarget, some: Some) -> None:
    """It stops after its n-th entry, somebody breaks its lock and deploys; it wakes and changes nothing."""
    for step in some.among(range(1, 16), cost=12):
        wanted = far.other()
        child = os.fork()
        if child == 0:
            _deploy_and_exit(far, step, wanted)
        _, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status), (step, status)
        broken = break_lock(far.ledger)
        release = far.deploy(wanted, environment={"TURN": f"{step} {time.time()}"}).release
        os.kill(child, signal.SIGCONT)
        _, status = os.waitpid(child, 0)
        assert broken is not None
        assert os.WEXITSTATUS(status) == 7, f"the sleeper of step {step} ended with {status}"
        seen = far.adapter().observe()
        assert release is not None
        assert (seen.live_number, seen.healthy) == (release.number, True)
        assert far.answers() == wanted.digest


def _deploy_and_exit(far: FarTarget, step: int, wanted: Any) -> None:
    code = 1
    try:
        adapter = far.adapter()
        deploy(adapter, EndingLedger(step, open_ledger(adapter), signal.SIGSTOP), wanted)
        code = 0
    except MlshipError as error:
        code = error.exit_code
    finally:
        os._exit(code)
