"""How results of target verbs look as plain text, from values made by hand."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec
import pytest

from mlship.cli import render_any, render_plain, target_views, views
from mlship.cli.blocks import Line
from mlship.ops.deploy import DeployReport
from mlship.ops.destroy import Destroyed
from mlship.ops.doctor import Check, Diagnosis
from mlship.ops.force_unlock import Unlocked
from mlship.ops.gates import Passed
from mlship.ops.history import History
from mlship.ops.invoke import Answer
from mlship.ops.plan import PlanReport
from mlship.ops.status import HostStatus, Status
from mlship.result import Result
from mlship.target.deployment import Endpoint, Problem, Proof, ReleaseState, Wanted
from mlship.target.history import RolloutRecord
from mlship.target.lock import LockRecord, Owner
from mlship.target.plan import Action, Plan

DIGEST = "sha256:" + "ab" * 32
LIVE = ReleaseState(
    number=2, digest=DIGEST, reference="churn:1.4", settings_digest=DIGEST, state="serving", served=True
)
FAILED = ReleaseState(
    number=3, digest=DIGEST, reference=f"churn@{DIGEST}", settings_digest=DIGEST, state="failed",
    served=False, error="boom",
)  # fmt: skip
SEND = Action(
    name="send", phase="stage", verb="send", subject="model.tar", command="put model.tar", bytes=1_500_000
)
WANTED = Wanted(
    reference="churn:1.5", digest=DIGEST, service="churn", platform="p", settings={}, layers=(), documents=()
)
OWNER = Owner(who="ann@desk", host="desk", boot="1", pid=7, started="1")
INSIDE = Endpoint(kind="internal", url="http://127.0.0.1:8080", only_on="h1")
OUTSIDE = Endpoint(kind="external", url="https://h1:8443", asks=("token",))
LOCK = LockRecord(
    held=True, fence=4, heartbeat=1, owner=OWNER, why="deploy", since="2026-01-02T03:04:05+00:00"
)


def plan(*actions: Action, problems: tuple[Problem, ...] = (), gates: tuple[Passed, ...] = ()) -> PlanReport:
    made = Plan(target="prod", service="churn", basis="b", wanted=WANTED, actions=actions, release=3)
    return PlanReport(
        plan=made,
        live=LIVE,
        changes=len(actions),
        bytes_to_send=sum(a.bytes for a in actions),
        problems=problems,
        gates=gates,
    )


def status(**given: Any) -> Status:
    defaults: dict[str, Any] = {
        "target": "prod", "service": "churn", "live": LIVE, "healthy": True, "releases": (LIVE, FAILED),
        "endpoints": (INSIDE, OUTSIDE), "problems": (), "lock": None, "interrupted": None,
    }  # fmt: skip
    return Status(**{**defaults, **given})


def on_host(name: str, live: ReleaseState | None = None, *, healthy: bool = True) -> HostStatus:
    return HostStatus(
        host=name, reached=bool(live), live=live, healthy=healthy, releases=(), endpoints=(), problems=()
    )


def deployed(**given: Any) -> DeployReport:
    proof = Proof(digest=DIGEST, rows=64, max_abs=2.5e-8, max_rel=0.0, by="me")
    defaults: dict[str, Any] = {
        "target": "prod", "service": "churn", "changed": True, "release": LIVE, "actions": (), "proof": proof,
        "endpoints": (),
    }  # fmt: skip
    return DeployReport(**{**defaults, **given})


BEFORE = msgspec.structs.replace(LIVE, number=1, reference="churn:1.3")
PARITY = Passed(gate="parity", found="64 golden rows")
ROLLOUT = RolloutRecord(
    rollout=1, why="deploy", release=2, reference="churn:1.4", digest=DIGEST, settings_digest=DIGEST,
    settings={}, by="ann@desk", began="2026-01-02T03:04:05.678+00:00", ended="2026-01-02T03:05:00.1+00:00",
    outcome="succeeded", error="", stopped_at="",
    live={"number": 2, "reference": "churn:1.4", "digest": DIGEST},
)  # fmt: skip

CASES = {
    "plan": (
        target_views.planned(plan(SEND)),
        """
        target    prod, service churn
        runs now  release 2: churn:1.4 (sha256:abababababab)
        wanted    churn:1.5 (sha256:abababababab)

        actions
          phase  action          what it runs
          stage  send model.tar  put model.tar

        1 actions, 1.5 MB to send
        """,
    ),
    "plan through gates": (
        target_views.planned(plan(gates=(Passed(gate="scan", found="9 files: no pickle"),))),
        """
        target    prod, service churn
        runs now  release 2: churn:1.4 (sha256:abababababab)
        wanted    churn:1.5 (sha256:abababababab)
        scan      9 files: no pickle
        nothing to do
        """,
    ),
    "plan that finds problems and nothing to do": (
        target_views.planned(plan(problems=(Problem(what="no room", fix="Make some"),))),
        """
        target    prod, service churn
        runs now  release 2: churn:1.4 (sha256:abababababab)
        wanted    churn:1.5 (sha256:abababababab)

        problems
          what     what to do
          no room  Make some

        nothing to do
        """,
    ),
    "deploy": (
        target_views.deployed(deployed()),
        """
        prod runs release 2: churn:1.4 (sha256:abababababab)
        proved there: 64 golden rows came back equal, largest error 2.5e-08
        """,
    ),
    "deploy over another release, through gates": (
        target_views.deployed(deployed(before=BEFORE, gates=(PARITY,), endpoints=(INSIDE,))),
        """
        prod runs release 2: churn:1.4 (sha256:abababababab)
        proved there: 64 golden rows came back equal, largest error 2.5e-08
        before      release 1: churn:1.3 (sha256:abababababab)
        parity      64 golden rows
        answers at  http://127.0.0.1:8080 (internal, only from h1)
        """,
    ),
    "deploy of nothing new": (
        target_views.deployed(deployed(changed=False, proof=None, before=BEFORE)),
        """
        nothing to do: prod runs release 2: churn:1.4 (sha256:abababababab)
        """,
    ),
    "repair that leaves nothing": (
        target_views.deployed(deployed(release=None, proof=None)),
        """
        prod runs nothing as churn now
        """,
    ),
    "status": (
        target_views.state(status()),
        """
        target      prod, service churn
        live        release 2: churn:1.4 (sha256:abababababab)
        answers at  http://127.0.0.1:8080 (internal, only from h1)
        answers at  https://h1:8443 (external, from the network, asks for a token)

        releases
          number  bundle                     digest               state    error
               2  churn:1.4                  sha256:abababababab  serving  -
               3  churn@sha256:abababababab  sha256:abababababab  failed   boom
        """,
    ),
    "status of something sick": (
        target_views.state(
            status(healthy=False, problems=("a worker died",), releases=(), endpoints=(), lock=LOCK)
        ),
        """
        target  prod, service churn
        live    release 2: churn:1.4 (sha256:abababababab), not healthy
        locked  by ann@desk since 2026-01-02T03:04:05+00:00, for deploy
        ! a worker died
        """,
    ),
    "status of several hosts": (
        target_views.state(
            status(
                healthy=False,
                problems=("h2 cannot be reached: no route",),
                releases=(),
                endpoints=(INSIDE,),
                hosts=(on_host("h1", LIVE), on_host("h2"), on_host("h3", LIVE, healthy=False)),
            )
        ),
        """
        target      prod, service churn
        live        release 2: churn:1.4 (sha256:abababababab), not healthy
        answers at  http://127.0.0.1:8080 (internal, only from h1)
        ! h2 cannot be reached: no route

        hosts
          host  live                                        state
          h1    release 2: churn:1.4 (sha256:abababababab)  serving
          h2    ?                                           not reached
          h3    release 2: churn:1.4 (sha256:abababababab)  serving, not healthy
        """,
    ),
    "history": (
        target_views.told(History(target="prod", service="churn", rollouts=(ROLLOUT,))),
        """
        when (UTC)           why     release  bundle     digest               outcome    by
        2026-01-02 03:05:00  deploy        2  churn:1.4  sha256:abababababab  succeeded  ann@desk
        """,
    ),
    "history of nothing": (
        target_views.told(History(target="prod", service="churn", rollouts=())),
        """
        nothing was ever deployed to prod as churn
        """,
    ),
    "history at a date": (
        target_views.told(
            History(target="prod", service="churn", rollouts=(ROLLOUT,), at="2026-02-01", live=ROLLOUT.live)
        ),
        """
        prod ran release 2: churn:1.4 (sha256:abababababab) at 2026-02-01
        """,
    ),
    "history before the first": (
        target_views.told(History(target="prod", service="churn", rollouts=(ROLLOUT,), at="2020-01-01")),
        """
        prod ran nothing at 2020-01-01
        """,
    ),
    "answer": (
        target_views.answered(
            Answer(target="prod", service="churn", digest=DIGEST, status=200, body={"a": ["ü", 1.5]})
        ),
        """
        {"a": ["ü", 1.5]}
        """,
    ),
    "force-unlock": (
        target_views.unlocked(Unlocked(target="prod", service="churn", broken=LOCK)),
        """
        the lock of churn on prod is broken; it was held by ann@desk
        """,
    ),
    "force-unlock of nothing": (
        target_views.unlocked(Unlocked(target="prod", service="churn", broken=None)),
        """
        churn on prod was not locked
        """,
    ),
    "destroy": (
        target_views.destroyed(
            Destroyed(target="prod", service="churn", changed=True, purged=True, actions=())
        ),
        """
        churn is gone from prod; its history is gone, too
        """,
    ),
    "doctor": (
        target_views.diagnosed(
            Diagnosis(
                about="this machine",
                ok=False,
                checks=(
                    Check(name="python", ok=True, detail="3.11"),
                    Check(name="disk", ok=False, detail="full", fix="Free some"),
                ),
            )
        ),
        """
              check   found
        ok    python  3.11
        FAIL  disk    full. Free some

        this machine: something is wrong
        """,
    ),
}


@pytest.mark.parametrize(("blocks", "text"), CASES.values(), ids=list(CASES))
def test_view(blocks: Any, text: str) -> None:
    assert render_plain.draw(blocks) == textwrap.dedent(text).lstrip("\n")


class Part(Result, frozen=True, kw_only=True):
    name: str
    count: int
    note: str = ""


class Anything(Result, frozen=True, kw_only=True):
    long_name: str
    done: bool
    nothing: str | None
    words: tuple[str, ...]
    inner: Part
    parts: tuple[Part, ...]
    table: dict[str, float]


def test_a_result_without_a_view_is_drawn_from_its_fields() -> None:
    result = Anything(
        long_name="x",
        done=True,
        nothing=None,
        words=("a", "b"),
        inner=Part(name="in", count=1),
        parts=(Part(name="one", count=1), Part(name="three", count=300)),
        table={"k": 0.5},
    )
    expected = """
    long name    x
    done         yes
    words        a, b
    inner name   in
    inner count  1
    table        k=0.5

    parts
      name   count
      one        1
      three    300
    """
    assert render_plain.draw(render_any.blocks(result)) == textwrap.dedent(expected).lstrip("\n")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (98_304_000, "98.3 MB"), (5_000_000_000_000, "5000.0 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert views.size(count) == text


def test_lines_have_no_empty_line_between_them() -> None:
    assert render_plain.draw([Line("a"), Line("b")]) == "a\nb\n"
    assert render_plain.draw([]) == ""
