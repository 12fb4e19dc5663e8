"""Releases that are on the target already as something wanted: for the way back, nothing is sent."""

from __future__ import annotations

import msgspec

from mlship.errors import TargetError
from mlship.target.deployment import Deployment, OnHost, ReleaseState, Wanted


def wanted_before(before: Deployment, now: Deployment, keep: int) -> Wanted | None:
    """What was live `before`, on each host that can be reached `now`; None if nothing was."""
    if before.live is None:
        return None
    hosts = {at.host: at.seen for at in before.hosts}
    each = {at.host: _live_of(hosts.get(at.host), keep) for at in now.hosts}
    return msgspec.structs.replace(_as_wanted(before.live, before.service, keep), hosts=each)


def wanted_again(observed: Deployment, release: ReleaseState, keep: int) -> Wanted:
    """An earlier `release`, on every host. Raises TargetError that names a host on which it is not."""
    each: dict[str, Wanted | None] = {}
    for at in observed.hosts:
        if at.seen is None:  # the plan says so
            continue
        found = _same(at, release)
        if found is None:
            raise TargetError(
                f"release {release.number} is not on {at.host}",
                fix=f"Deploy {release.reference} instead, which sends it there",
            )
        each[at.host] = _as_wanted(found, observed.service, keep)
    return msgspec.structs.replace(_as_wanted(release, observed.service, keep), hosts=each)


def wanted_as_is(observed: Deployment, live: ReleaseState, keep: int) -> Wanted:
    """The `live` release, on every host that has it; another host keeps what is live there."""
    each: dict[str, Wanted | None] = {}
    for at in observed.hosts:
        found = _same(at, live)
        each[at.host] = _as_wanted(found, observed.service, keep) if found else _live_of(at.seen, keep)
    return msgspec.structs.replace(_as_wanted(live, observed.service, keep), hosts=each)


def is_back(before: Deployment, after: Deployment) -> bool:
    """Whether `after` serves what was live `before`, on every host, and nothing where nothing was."""
    if before.hosts:
        seen = {at.host: at.seen for at in after.hosts}
        return all(_is_back_on(at.seen, seen.get(at.host)) for at in before.hosts)
    if before.live is None or after.live is None:
        return before.live is after.live
    same = (after.live.digest, after.live.settings_digest) == (
        before.live.digest,
        before.live.settings_digest,
    )
    return same and (after.live.state == "serving" or before.live.state != "serving")


def _is_back_on(before: Deployment | None, after: Deployment | None) -> bool:
    return before is not None and after is not None and is_back(before, after)


def _same(at: OnHost, release: ReleaseState) -> ReleaseState | None:
    found = at.seen.release(release.number) if at.seen else None
    if found is None or found.digest != release.digest:
        return None
    return found if found.served or found.state != "failed" else None


def _live_of(seen: Deployment | None, keep: int) -> Wanted | None:
    return _as_wanted(seen.live, seen.service, keep) if seen is not None and seen.live else None


def _as_wanted(release: ReleaseState, service: str, keep: int) -> Wanted:
    return Wanted(
        reference=release.reference,
        digest=release.digest,
        service=service,
        platform=release.platform,
        settings=release.settings,
        layers=(),
        documents=(),
        keep=keep,
    )
