"""The log of crossings: nothing can be changed, moved or cut off without being seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.errors import PolicyError
from mlship.store.folder import FolderStore
from mlship.trust.audit_log import AuditLog, Fact


def opened(folder: Path) -> AuditLog:
    return AuditLog(FolderStore(f"dir://{folder}"), "audit")


def fact(verb: str = "push") -> Fact:
    return Fact(kind="allowed", verb=verb, reference="churn:1.0", labels=("sensitivity=personal",))


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = opened(tmp_path)
    for verb in ("push", "pull", "copy", "deploy", "export"):
        log.append(fact(verb))
    return log


def record(folder: Path, number: int) -> Path:
    return folder / "audit" / "records" / f"{number:012d}"


def test_an_empty_one_is_whole(tmp_path: Path) -> None:
    checked = opened(tmp_path).check()
    assert (checked.records, checked.last, list(tmp_path.iterdir())) == (0, "", [])


def test_records_come_back_in_order(log: AuditLog) -> None:
    entries = list(log.entries())
    assert [entry.fact.verb for entry in entries] == ["push", "pull", "copy", "deploy", "export"]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == ""
    assert len({entry.previous for entry in entries}) == 5
    checked = log.check()
    assert checked.records == 5
    assert log.check(holds=checked.last) == checked
    assert log.check(holds=entries[3].previous) == checked


def edited(folder: Path) -> None:
    file = record(folder, 3)
    changed(file, file.read_bytes().replace(b'"copy"', b'"pull"'))


def swapped(folder: Path) -> None:
    two, three = record(folder, 2).read_bytes(), record(folder, 3).read_bytes()
    changed(record(folder, 2), three)
    changed(record(folder, 3), two)


def renumbered(folder: Path) -> None:
    """Number 3 is taken out, and those behind move up."""
    for number in (3, 4):
        behind = record(folder, number + 1).read_bytes()
        changed(
            record(folder, number),
            behind.replace(b'"sequence":%d' % (number + 1), b'"sequence":%d' % number),
        )
    record(folder, 5).unlink()


def last_edited(folder: Path) -> None:
    file = record(folder, 5)
    changed(file, file.read_bytes().replace(b'"export"', b'"verify"'))


def changed(file: Path, data: bytes) -> None:
    file.unlink()
    file.write_bytes(data)


TAMPERED: dict[str, tuple[Callable[[Path], None], int]] = {
    "edited": (edited, 4),
    "its last edited": (last_edited, 5),
    "the first removed": (lambda folder: record(folder, 1).unlink(), 1),
    "one removed": (lambda folder: record(folder, 3).unlink(), 3),
    "the last removed": (lambda folder: record(folder, 5).unlink(), 5),
    "two reordered": (swapped, 2),
    "one taken out": (renumbered, 3),
    "one put in behind a gap": (lambda folder: changed_copy(folder, 7), 6),
    "one cut off": (lambda folder: changed(record(folder, 2), record(folder, 2).read_bytes()[:40]), 0),
    "one empty": (lambda folder: changed(record(folder, 4), b""), 0),
}


def changed_copy(folder: Path, number: int) -> None:
    record(folder, number).write_bytes(record(folder, 5).read_bytes())


@pytest.mark.parametrize(("tamper", "number"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_done_to_it_is_found(
    log: AuditLog, tmp_path: Path, tamper: Callable[[Path], None], number: int
) -> None:
    tamper(tmp_path)
    said = f"broken at number {number}" if number else "cannot be read"
    with pytest.raises(PolicyError, match=said):
        log.check()


def test_another_log_in_its_place_is_found_by_what_was_noted(log: AuditLog, tmp_path: Path) -> None:
    noted = log.check().last
    other = opened(tmp_path / "other")
    for verb in ("push", "pull", "copy", "deploy", "export", "push"):
        other.append(fact(verb))
    assert other.check().records == 6
    with pytest.raises(PolicyError, match="is another one"):
        other.check(holds=noted)


def test_a_head_that_lags_is_right(log: AuditLog, tmp_path: Path) -> None:
    """As a writer leaves it that is killed between its record and the head."""
    head = tmp_path / "audit" / "head"
    before = head.read_bytes()
    log.append(fact("promote"))
    changed(head, before)
    assert log.check().records == 6
    log.append(fact("import"))
    assert [entry.fact.verb for entry in log.entries()][-2:] == ["promote", "import"]
    assert log.check().records == 7
    head.unlink()
    log.append(fact("push"))
    assert log.check().records == 8


def test_all_of_several_writers_are_in_it(tmp_path: Path) -> None:
    def write(verb: str) -> None:
        log = opened(tmp_path)
        for _ in range(5):
            log.append(fact(verb))

    writers = [threading.Thread(target=write, args=(f"writer-{number}",)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log = opened(tmp_path)
    assert log.check().records == 20
    verbs = [entry.fact.verb for entry in log.entries()]
    assert {verb: verbs.count(verb) for verb in verbs} == {f"writer-{number}": 5 for number in range(4)}
