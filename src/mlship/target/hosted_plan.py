"""The plan for a service on a host: pure, from what is wanted and what is observed to ordered actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlship.result import to_json
from mlship.target.deployment import Deployment, LayerRef, ReleaseState, Wanted
from mlship.target.plan import Action, Phase
from mlship.target.release_choice import beyond_kept, left_over, reusable

_ACTIVE = ("starting", "ready", "serving", "draining")


@dataclass(frozen=True)
class Where:
    """Where a service listens: for those inside, and for those outside if it does (port 0: a free one). And
    by whose units it is kept there, if by any."""

    host: str
    port: int
    external: Mapping[str, Any] | None = None
    units: str = "none"

    def is_held(self, observed: Deployment) -> bool:
        """Whether the external listener is there, or not there, as wanted."""
        now = observed.facts.get("external")
        if not now or not self.external:
            return not now and not self.external
        same = self.external["port"] in (0, now["port"])
        return bool(same and self.external["host"] == now["host"])


def plan_hosted(
    wanted: Wanted | None,
    observed: Deployment,
    *,
    port: int,
    host: str,
    external: Mapping[str, Any] | None = None,
    units: str = "none",
    number: int | None = None,
) -> tuple[Action, ...]:
    """Actions that lead from `observed` to `wanted`, on `host`:`port` (and `external`, host and port of the
    listener for those outside), kept by `units`; none if nothing is to be done. `number` is that of the
    release, where it is not for this host alone to say: on the host, it is the number of no other one that
    has had traffic."""
    place = Where(host, port, external, units)
    if wanted is None:
        return (_destroy(observed),) if observed.exists else ()
    live = observed.live
    if live is not None and live.is_of(wanted) and number in (None, live.number):
        return _keep(wanted, observed, live, place=place)
    return _replace(wanted, observed, number, place=place)


def _keep(wanted: Wanted, observed: Deployment, live: ReleaseState, *, place: Where) -> tuple[Action, ...]:
    """The wanted release is live: only mend what is not as it should be."""
    actions = [*_clean(observed, spare=None, needed=())]
    holder = bool(observed.facts.get("supervisor")) and place.is_held(observed)
    others = any(r.state in _ACTIVE and r.served and r is not live for r in observed.releases)
    if not holder:
        actions.append(_open(place, wanted, observed))
    if live.state != "serving":
        actions.append(_start(wanted, live.number))
    if live.state != "serving" or others:
        actions.append(_shift(live.number, live.reference))
    if actions and (not holder or live.state != "serving" or others):
        actions.append(_settle(live.number))
    return (*actions, *_retire(wanted.keep, observed, live.number, leaving=None))


def _replace(wanted: Wanted, observed: Deployment, number: int | None, *, place: Where) -> tuple[Action, ...]:
    """Candidate beside the live one, proved, then shifted to."""
    spare = reusable(wanted, observed, number)
    if number is None:
        number = spare.number if spare else observed.last_number + 1
    missing = [layer for layer in wanted.layers if layer.digest not in observed.present]
    held = observed.facts.get("supervisor") and place.is_held(observed)
    fits = place.units == "none" or all(
        observed.facts.get(name) == value for name, value in _for_both(wanted, observed).items()
    )
    hold = [] if held and fits else [_open(place, wanted, observed)]
    return (
        *_clean(observed, spare, needed=[layer.digest for layer in wanted.layers]),
        *(_send(blob) for blob in (*missing, *wanted.documents)),
        _stage(wanted, number),
        *hold,
        _start(wanted, number),
        _prove(wanted, number),
        _shift(number, wanted.reference),
        _settle(number),
        *_retire(wanted.keep, observed, number, leaving=observed.live),
    )


def _clean(observed: Deployment, spare: ReleaseState | None, needed: Sequence[str]) -> list[Action]:
    """Remove what earlier, broken-off rollouts left: releases that never had traffic.

    Layers that are `needed` stay, for those that are there are not sent again.
    """
    left = left_over(observed, spare)
    why = "left by an interrupted rollout"
    sent = bool(observed.facts.get("incoming"))
    return [_remove("clean", "clean", left, why, keep=needed)] if left or sent else []


def _retire(keep: int, observed: Deployment, coming: int, leaving: ReleaseState | None) -> list[Action]:
    """Remove what is beyond those kept."""
    old = beyond_kept(keep, observed, coming, leaving)
    return [_remove("retire", "retire", old, f"beyond the {keep} kept")] if old else []


def _send(blob: LayerRef) -> Action:
    return Action(
        name=f"send-{blob.digest[7:19]}",
        phase="stage",
        verb="send",
        subject=blob.title,
        command=f"put incoming/{blob.digest.removeprefix('sha256:')} ({blob.size} bytes)",
        arguments={"digest": blob.digest, "size": blob.size},
        bytes=blob.size,
    )


def _stage(wanted: Wanted, number: int) -> Action:
    arguments = {
        "release": number,
        "digest": wanted.digest,
        "reference": wanted.reference,
        "platform": wanted.platform,
        "settings": wanted.settings,
        "settingsDigest": wanted.settings_digest,
    }
    return _far_side("stage", "stage", f"release {number} of {wanted.reference}", arguments)


def _for_both(wanted: Wanted, observed: Deployment) -> dict[str, Any]:
    """What units must allow a release and the one that it replaces, for they run side by side: bytes of
    memory (0: no limit) and files of the external listener."""
    both = [wanted.settings, observed.live.settings if observed.live else wanted.settings]
    memory = [int(settings.get("memory") or 0) for settings in both]
    files = {
        str(path)
        for settings in both
        for name, path in (settings.get("external") or {}).items()
        if name in ("tokens", "certificate", "key", "clientCa")
    }
    return {"memory": sum(memory) if all(memory) else 0, "files": sorted(files)}


def _open(place: Where, wanted: Wanted, observed: Deployment) -> Action:
    where = f"{place.host}:{place.port}" if place.port else f"a free port of {place.host}"
    arguments: dict[str, Any] = {"host": place.host, "port": place.port}
    if place.external:
        where += f" and {place.external['host']}:{place.external['port'] or 'a free port'} (external)"
        arguments["external"] = place.external
    if place.units != "none":
        where += f", kept by {observed.keeper}"
        arguments.update(units=place.units, **_for_both(wanted, observed))
    return _far_side("open", "start", where, arguments)


def _start(wanted: Wanted, number: int) -> Action:
    return _far_side("start", "start", f"release {number} of {wanted.reference}", {"release": number})


def _prove(wanted: Wanted, number: int) -> Action:
    return Action(
        name="prove",
        phase="prove",
        verb="prove",
        subject=f"release {number} with the golden examples",
        command=f"POST /v2/models/{wanted.service}/infer on the candidate's own socket",
        arguments={"release": number},
    )


def _shift(number: int, reference: str) -> Action:
    return _far_side("shift", "shift", f"traffic to release {number} of {reference}", {"release": number})


def _settle(number: int) -> Action:
    return _far_side("settle", "settle", f"until only release {number} answers", {"release": number})


def _far_side(verb: str, phase: Phase, subject: str, arguments: dict[str, Any], name: str = "") -> Action:
    """One command of the ground floor on the host; `command` has it as it is sent, but for what is secret."""
    return Action(
        name=name or verb,
        phase=phase,
        verb=verb,
        subject=subject,
        command=f"boot.py host {verb} {to_json(arguments).decode()}",
        arguments=arguments,
    )


def take() -> Action:
    """Make the host refuse deployers of before, where the others of a target are not to wait for its first
    real action."""
    return _far_side("take", "clean", "orders from here alone", {})


def _remove(name: str, phase: Phase, numbers: list[int], why: str, keep: Sequence[str] = ()) -> Action:
    text = f"release {', '.join(str(n) for n in numbers)}" if numbers else "what was sent"
    arguments = {"releases": numbers, "keep": list(keep)}
    return _far_side("remove", phase, f"{text} ({why})", arguments, name)


def _destroy(observed: Deployment) -> Action:
    subject = f"service {observed.service} and its {len(observed.releases)} releases"
    return _far_side("destroy", "remove", subject, {"purge": False})
