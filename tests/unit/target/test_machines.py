"""What it means when a machine shows other keys than those that count."""

from __future__ import annotations

import pytest

from mlship.target.machines import HostKey, state_of


def keys(*names: str) -> tuple[HostKey, ...]:
    """`E1`: an ED25519 key; `R2`: an RSA key."""
    return tuple(HostKey(kind=name[0], fingerprint=f"SHA256:{name}", key=name) for name in names)


@pytest.mark.parametrize(
    ("shown", "known", "state"),
    [
        (("E1", "R1"), (), "new"),
        (("E1", "R1"), ("E1",), "pinned"),
        (("E1", "R1"), ("E1", "R1"), "pinned"),
        (("E2",), ("E1", "E2"), "pinned"),
        (("E2", "R1"), ("E1",), "changed"),
        (("R1",), ("E1",), "changed"),
        (("E1", "R2"), ("E1", "R1"), "changed"),
        ((), ("E1",), "changed"),
    ],
)
def test_states(shown: tuple[str, ...], known: tuple[str, ...], state: str) -> None:
    assert state_of(keys(*shown), keys(*known), pinned=True) == state
    if state == "pinned":
        assert state_of(keys(*shown), keys(*known), pinned=False) == "known"
