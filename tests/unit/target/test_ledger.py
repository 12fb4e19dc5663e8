"""What is read of a ledger, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mlship.store import open_store
from mlship.target.ledger import Ledger


class Counted:
    """A store that counts who is read."""

    def __init__(self, url: str) -> None:
        self.store, self.read_of = open_store(url), Counter[str]()

    def read(self, key: str) -> Iterator[bytes]:
        self.read_of[key[-3:]] += 1
        return self.store.read(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


def test_an_entry_is_read_once(tmp_path: Path) -> None:
    store = Counted(f"dir://{tmp_path}")
    writer, reader = Ledger(store.store, "far/churn"), Ledger(store, "far/churn")  # type: ignore[arg-type]
    assert reader.entries() == []
    written = [writer.append("begin", {"turn": turn}, fence=1) for turn in range(20)]
    assert reader.entries() == written
    written.append(writer.append("end", {}, fence=1))
    assert reader.entries() == written
    assert store.read_of.pop("001") == 2, "it tells that the history is the same"
    assert set(store.read_of.values()) == {1}
    assert len(store.read_of) == 20


def test_another_history_is_read_anew(tmp_path: Path) -> None:
    one, other = (Ledger(open_store(f"dir://{tmp_path}"), "far/churn") for _ in range(2))
    old = [one.append("begin", {"of": "before"}, fence=1) for _ in range(3)]
    assert other.entries() == old
    one.erase()
    assert other.entries() == []
    one = Ledger(one.store, one.prefix)
    new = [one.append("begin", {"of": "after"}, fence=1) for _ in range(4)]
    assert other.entries() == new
