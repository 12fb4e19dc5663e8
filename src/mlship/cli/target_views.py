"""How results about targets look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.terminal import harmless
from mlship.cli.views import brief, short, size

_DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")
_WIDTH = 72  # of what an action runs, in characters

if TYPE_CHECKING:
    from mlship.ops.deploy import DeployReport
    from mlship.ops.destroy import Destroyed
    from mlship.ops.doctor import Diagnosis
    from mlship.ops.force_unlock import Unlocked
    from mlship.ops.history import History
    from mlship.ops.invoke import Answer
    from mlship.ops.logs import Logs
    from mlship.ops.plan import PlanReport
    from mlship.ops.status import HostStatus, Status
    from mlship.ops.tunnel import Opened
    from mlship.target.deployment import Endpoint, ReleaseState
    from mlship.target.plan import Action


def planned(result: PlanReport) -> Iterator[Block]:
    plan = result.plan
    wanted = f"{brief(plan.wanted.reference)} ({short(plan.wanted.digest)})" if plan.wanted else "nothing"
    yield Facts(
        [
            ("target", f"{plan.target}, service {plan.service}"),
            ("runs now", _release(result.live)),
            ("wanted", wanted),
            *((passed.gate, passed.found) for passed in result.gates),
        ]
    )
    if result.problems:
        rows = [(x.what if x.blocks else f"(warning) {x.what}", x.fix) for x in result.problems]
        yield Table("problems", ("what", "what to do"), rows)
    if not plan.actions:
        yield Line("nothing to do")
        return
    yield _actions("actions", plan.actions)
    yield Line(f"{result.changes} actions, {size(result.bytes_to_send)} to send")


def deployed(result: DeployReport) -> Iterator[Block]:
    if not result.changed:
        yield Line(f"nothing to do: {result.target} runs {_release(result.release)}")
    elif result.release is None:
        yield Line(f"{result.target} runs nothing as {result.service} now")
    else:
        yield Line(f"{result.target} runs {_release(result.release)}")
    if result.proof is not None:
        proof = result.proof
        where = f"on {', '.join(result.proofs)}" if result.proofs else "there"
        yield Line(
            f"proved {where}: {proof.rows} golden rows came back equal, largest error {proof.max_abs:.2g}"
        )
    facts = [("before", _release(result.before))] if result.changed and result.before else []
    facts += [(passed.gate, passed.found) for passed in result.gates]
    facts += _places(result.endpoints)
    if facts:
        yield Facts(facts)


def state(result: Status) -> Iterator[Block]:
    live = _release(result.live) + ("" if result.live is None or result.healthy else ", not healthy")
    facts = [("target", f"{result.target}, service {result.service}"), ("live", live)]
    if result.live is not None and result.live.signed_by:
        facts.append(("signed by", f"{result.live.signed_by}, as the target has checked"))
    if result.lock is not None:
        owner = result.lock.owner
        facts.append(
            (
                "locked",
                f"by {owner.who if owner else 'somebody'} since {result.lock.since}, for {result.lock.why}",
            )
        )
    facts += _places(result.endpoints)
    if result.keeper:
        facts.append(("kept by", result.keeper))
    yield Facts(facts)
    for problem in result.problems:
        yield Line(f"! {problem}")
    if result.hosts:
        yield Table("hosts", ("host", "live", "state"), [_host(x) for x in result.hosts])
    if result.releases:
        rows = [
            (str(x.number), brief(x.reference), short(x.digest), x.state, x.error or "-")
            for x in result.releases
        ]
        yield Table("releases", ("number", "bundle", "digest", "state", "error"), rows, frozenset({0}))


def told(result: History) -> Iterator[Block]:
    if result.at is not None:
        live = result.live
        ran = (
            f"release {live['number']}: {brief(live['reference'])} ({short(live['digest'])})"
            if live
            else "nothing"
        )
        yield Line(f"{result.target} ran {ran} at {result.at}")
        return
    if not result.rollouts:
        yield Line(f"nothing was ever deployed to {result.target} as {result.service}")
        return
    rows = [
        (
            _when(x.ended or x.began),
            x.why,
            str(x.release or "-"),
            brief(x.reference) or "-",
            short(x.digest) or "-",
            x.outcome,
            x.by,
        )
        for x in result.rollouts
    ]
    yield Table(
        "", ("when (UTC)", "why", "release", "bundle", "digest", "outcome", "by"), rows, frozenset({2})
    )


def _when(moment: str) -> str:
    return moment[:19].replace("T", " ")


def answered(result: Answer) -> Iterator[Block]:
    """The answer alone, as JSON: made to be piped on."""
    body: Any = result.body
    yield Line(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))


def lines(result: Logs) -> Iterator[Block]:
    yield from (Line(harmless(text)) for text in result.lines)


def unlocked(result: Unlocked) -> Iterator[Block]:
    what = f"{result.service} on {result.target}"
    if result.broken is None:
        yield Line(f"{what} was not locked")
        return
    owner = result.broken.owner
    holder = owner.who if owner else "somebody who cannot be told"
    yield Line(f"the lock of {what} is broken; it was held by {holder}")


def destroyed(result: Destroyed) -> Iterator[Block]:
    gone = (
        f"{result.service} is gone from {result.target}"
        if result.changed
        else f"there was no {result.service} on {result.target}"
    )
    yield Line(gone + ("; its history is gone, too" if result.purged else ""))


def diagnosed(result: Diagnosis) -> Iterator[Block]:
    yield Table(
        "",
        ("", "check", "found"),
        [
            ("ok" if x.ok else "FAIL", x.name, x.detail + (f". {x.fix}" if x.fix else ""))
            for x in result.checks
        ],
    )
    yield Line(f"{result.about}: " + ("all is well" if result.ok else "something is wrong"))


def _release(release: ReleaseState | None) -> str:
    if release is None:
        return "nothing"
    return f"release {release.number}: {brief(release.reference)} ({short(release.digest)})"


def _places(endpoints: Sequence[Endpoint]) -> list[tuple[str, str]]:
    return [("answers at", f"{endpoint.url} ({_about(endpoint)})") for endpoint in endpoints]


def _about(endpoint: Endpoint) -> str:
    """From where it can be reached, and what it asks for."""
    where = f"only from {endpoint.only_on}" if endpoint.only_on else "from the network"
    return ", ".join((endpoint.kind, where, *(f"asks for a {what}" for what in endpoint.asks)))


def tunnel(result: Opened) -> Iterator[Block]:
    yield Line(f"{result.url} leads to release {result.release} on {result.target}; Ctrl-C ends it")


def _host(host: HostStatus) -> tuple[str, str, str]:
    state = "not reached"
    if host.reached:
        state = host.live.state if host.live else "-"
        state += "" if host.healthy or host.live is None else ", not healthy"
    return host.host, _release(host.live) if host.reached else "?", state


def _actions(title: str, actions: Sequence[Action]) -> Table:
    return Table(
        title,
        ("phase", "action", "what it runs"),
        [(x.phase, f"{x.verb} {x.subject}", _in_short(x.command)) for x in actions],
    )


def _in_short(command: str) -> str:
    """A command for a table; the whole one is in `--json` and in a saved plan."""
    text = _DIGEST.sub(r"\1…", command)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
