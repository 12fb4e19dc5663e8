"""The plan for a service on several hosts: everything is made ready and proved on all of them before traffic
moves on any; it moves in waves. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from mlship.errors import TargetError
from mlship.target.deployment import Deployment, ReleaseState, Wanted
from mlship.target.hosted_plan import take
from mlship.target.plan import Action

# (host, wanted there, seen there, release number) -> the actions for this host alone
PlanOn = Callable[[str, Wanted | None, Deployment, int | None], tuple[Action, ...]]

_TAKE, _PREPARE, _FIRST_WAVE = 0, 1, 2
_TRAFFIC, _AFTERWARDS = ("shift", "settle"), ("retire",)


def plan_several(
    wanted: Wanted | None, observed: Deployment, *, wave: int, plan_on: PlanOn
) -> tuple[Action, ...]:
    """Actions for all hosts, with `wave` of them at once getting traffic. Raises TargetError if a host could
    not be reached: what is changed is changed on all of them."""
    for lost in observed.unreached:
        raise TargetError(
            f"{lost.host} cannot be reached, and nothing is changed on some of the hosts only",
            cause=lost.trouble,
            fix="Bring it back, or take it out of `hosts` of the target",
        )
    seen = {at.host: at.seen for at in observed.hosts if at.seen is not None}
    wants = {host: wanted.hosts.get(host) if wanted else None for host in seen}
    numbers = _numbers({host: want for host, want in wants.items() if want}, seen, observed.last_number)
    each = {host: plan_on(host, wants[host], one, numbers.get(host)) for host, one in seen.items()}
    if not any(each.values()):
        return ()
    known = [host for host, one in seen.items() if wants[host] or one.exists]
    taken = [_at(host, take(), _TAKE) for host in known]
    return (*taken, *(_removal(each) if wanted is None else _in_waves(each, wave)))


def _in_waves(each: Mapping[str, Sequence[Action]], wave: int) -> Iterator[Action]:
    moving = [host for host, actions in each.items() if any(x.phase in _TRAFFIC for x in actions)]
    turns = {host: _FIRST_WAVE + position // wave for position, host in enumerate(moving)}
    last = max(turns.values(), default=_PREPARE) + 1
    yield from (
        _at(host, action, _PREPARE)
        for host, actions in each.items()
        for action in actions
        if action.phase not in (*_TRAFFIC, *_AFTERWARDS)
    )
    for host, turn in turns.items():
        yield from (_at(host, action, turn) for action in each[host] if action.phase in _TRAFFIC)
    yield from (
        _at(host, action, last)
        for host, actions in each.items()
        for action in actions
        if action.phase in _AFTERWARDS
    )


def _removal(each: Mapping[str, Sequence[Action]]) -> Iterator[Action]:
    """The first host, where the ledger is, comes last."""
    first, *others = each
    for turn, host in (*((_PREPARE, host) for host in others), (_PREPARE + 1, first)):
        yield from (_at(host, action, turn) for action in each[host])


def _at(host: str, action: Action, turn: int) -> Action:
    return msgspec.structs.replace(
        action,
        name=f"{action.name}@{host}",
        subject=f"{action.subject} on {host}",
        command=f"{host}: {action.command}",
        host=host,
        turn=turn,
    )


def _numbers(wants: Mapping[str, Wanted], seen: Mapping[str, Deployment], last: int) -> dict[str, int]:
    """The release number for each host: one for all that want the same bundle."""
    numbers: dict[str, int] = {}
    for digest in dict.fromkeys(want.digest for want in wants.values()):
        alike = {host: want for host, want in wants.items() if want.digest == digest}
        number = _number(alike, seen) or max([last, *numbers.values()]) + 1
        numbers.update(dict.fromkeys(alike, number))
    return numbers


def _number(wants: Mapping[str, Wanted], seen: Mapping[str, Deployment]) -> int | None:
    """One under which it is live on some host already, or else waits there; and that is free, or its own, on
    the others."""
    live, waiting = [], []
    for host, want in wants.items():
        here = seen[host]
        live += [r.number for r in here.releases if r.is_of(want) and r is here.live]
        waiting += [r.number for r in here.releases if r.is_of(want) and not r.served and r.state != "failed"]
    for number in (*live, *sorted(waiting, reverse=True)):
        if all(_is_free(seen[host].release(number), want) for host, want in wants.items()):
            return number
    return None


def _is_free(there: ReleaseState | None, wanted: Wanted) -> bool:
    """What never had traffic is removed first."""
    return there is None or there.is_of(wanted) or not there.served
