"""Which releases on a target a plan takes up again, cleans away and retires: the same wherever it runs."""

from __future__ import annotations

from mlship.target.deployment import Deployment, ReleaseState, Wanted


def reusable(wanted: Wanted, observed: Deployment, number: int | None = None) -> ReleaseState | None:
    """A candidate that an interrupted rollout of the same thing has left (under `number`, if it is given)."""
    fits = [r for r in observed.releases if r.is_of(wanted) and not r.served and r.state != "failed"]
    if number is not None:
        fits = [r for r in fits if r.number == number]
    return max(fits, key=lambda r: r.number, default=None)


def left_over(observed: Deployment, spare: ReleaseState | None) -> list[int]:
    """What earlier, broken-off rollouts left: releases that never had traffic, but for `spare`."""
    return [
        r.number
        for r in observed.releases
        if not r.served and r.number != observed.live_number and r is not spare
    ]


def beyond_kept(keep: int, observed: Deployment, coming: int, leaving: ReleaseState | None) -> list[int]:
    """Earlier releases than the one that is `coming`, beyond the `keep` newest; the one that is `leaving`
    counts as the newest of them."""
    out = {observed.live_number, coming}
    served = [r.number for r in observed.releases if r.served and r.number not in out]
    served += [leaving.number] if leaving else []
    return sorted(sorted(served, reverse=True)[keep:])
