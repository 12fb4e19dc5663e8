"""The ledger of a target lies on its machine, for all who get in there, and goes with the last of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.errors import LockedError
from mlship.store import open_store
from mlship.target.ledger import Ledger
from mlship.target.ledger_place import clear_ledger, open_ledger
from mlship.target.lock import locked

pytestmark = pytest.mark.server
Target = Callable[..., Any]


@pytest.mark.parametrize("client", ["openssh", "paramiko"])
def test_it_lies_in_the_base_folder_and_others_see_it(target: Target, tmp_path: Path, client: str) -> None:
    adapter = target(client=client)
    ledger = open_ledger(adapter)
    assert ledger.entries() == []
    assert not (tmp_path / "base").exists(), "who only looks leaves nothing"
    with locked(ledger, "deploy") as lock:
        with pytest.raises(LockedError), locked(open_ledger(target(client=client)), "deploy"):
            pass
        ledger.append("begin", {"why": "deploy"}, fence=lock.fence)
    assert (tmp_path / "base").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "base" / "ledger" / "far" / "churn" / "entries").is_dir()
    (entry,) = Ledger(open_store(adapter.ledger_url()), "far/churn").entries()
    assert entry == ledger.entries()[0]
    ledger.erase()
    clear_ledger(adapter)
    assert not (tmp_path / "base").exists()


def test_what_others_have_there_stays(target: Target, tmp_path: Path) -> None:
    adapter, base = target(), tmp_path / "base"
    ours, theirs = open_ledger(adapter), open_ledger(target(name="other"))
    for ledger in (ours, theirs):
        ledger.append("begin", {}, fence=1)
    ours.erase()
    clear_ledger(adapter)
    assert [entry.sequence for entry in theirs.entries()] == [1]
    theirs.erase()
    (base / "mine").write_text("of somebody else")
    clear_ledger(adapter)
    assert [path.name for path in base.iterdir()] == ["mine"]


def test_a_ledger_that_mlship_toml_puts_elsewhere_is_not_looked_for_there(
    target: Target, tmp_path: Path
) -> None:
    adapter = target(ledger=f"dir://{tmp_path}/elsewhere")
    open_ledger(adapter).append("begin", {}, fence=1)
    clear_ledger(adapter)
    assert not (tmp_path / "base").exists()
    assert (tmp_path / "elsewhere" / "far").is_dir()


def test_a_change_in_progress_is_not_cleared_away(target: Target, tmp_path: Path) -> None:
    """Somebody compares and sets just now: the lock is held, and what it guards stays."""
    import fcntl

    adapter = target()
    ledger = open_ledger(adapter)
    ledger.append("begin", {}, fence=1)
    ledger.erase()
    held = tmp_path / "base" / "ledger" / ".lock"
    with held.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clear_ledger(adapter)
        assert held.exists()
    clear_ledger(adapter)
    assert not held.exists()
