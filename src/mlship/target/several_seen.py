"""What several hosts run, drawn together as one Deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mlship.target.deployment import Deployment, OnHost, ReleaseState

# Of the states that one release has on several hosts, the first of these is told.
_RANK = ("failed", "starting", "ready", "draining", "staged", "stopped", "serving")


def drawn_together(service: str, hosts: Sequence[OnHost]) -> Deployment:
    """One Deployment of what was seen on `hosts`. Where they differ, what the first one serves is the live
    release: in waves it is the first to go on, and the first to go back."""
    seen = [at.seen for at in hosts if at.seen is not None]
    live = next((one.live for one in seen if one.live is not None), None)
    alike = live is not None and all(_is_live(at, live) for at in hosts)
    return Deployment(
        service=service,
        releases=tuple(_releases(seen)),
        live_number=live.number if live else None,
        last_number=max((one.last_number for one in seen), default=0),
        healthy=alike and all(one.healthy for one in seen),
        endpoints=tuple(endpoint for one in seen for endpoint in one.endpoints),
        present=frozenset.intersection(*(one.present for one in seen)) if seen else frozenset(),
        problems=tuple(problem for at in hosts for problem in _problems(at, live)),
        exists=any(one.exists for one in seen),
        left=any(one.left for one in seen),
        keeper="; ".join(dict.fromkeys(one.keeper for one in seen if one.exists and one.keeper)),
        fence=max((one.fence for one in seen), default=0),
        hosts=tuple(hosts),
    )


def _is_live(at: OnHost, live: ReleaseState) -> bool:
    own = at.seen.live if at.seen else None
    return own is not None and (own.number, own.digest) == (live.number, live.digest)


def _problems(at: OnHost, live: ReleaseState | None) -> Iterator[str]:
    if at.seen is None:
        yield f"{at.host} cannot be reached: {at.trouble}"
        return
    yield from (f"{at.host}: {problem}" for problem in at.seen.problems)
    if live is None or _is_live(at, live):
        return
    own = at.seen.live
    runs = f"release {own.number} of {own.reference}" if own else "nothing"
    wanted = f"release {live.number} of {live.reference}"
    yield f"{at.host} runs {runs}, not {wanted} (the next deploy brings it there)"


def _releases(seen: Sequence[Deployment]) -> Iterator[ReleaseState]:
    for number in sorted({release.number for one in seen for release in one.releases}):
        found = [one.release(number) for one in seen]
        there = [release for release in found if release is not None]
        told = min(there, key=lambda release: _RANK.index(release.state))
        same = all(release.digest == told.digest for release in there)
        everywhere = same and len(there) == len(seen)
        yield msgspec.structs.replace(
            told, served=everywhere and all(release.served for release in there), signed_by=_signer(there)
        )


def _signer(there: Sequence[ReleaseState]) -> str:
    """Whose signature every host has checked."""
    signers = {release.signed_by for release in there}
    return signers.pop() if len(signers) == 1 else ""
