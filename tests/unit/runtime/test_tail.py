"""A log that is read while it grows, is moved away, and is cut short."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mlship_runtime.onhost.tail import Tail
from mlship_runtime.supervision.eventlog import bound


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "1.log"
    path.touch()
    return path


def write(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_lines_are_said_when_they_have_ended(log: Path) -> None:
    tail = Tail(log)
    write(log, "one\ntw")
    assert tail.more() == ["one"]
    assert tail.more() == []
    write(log, "o\n\nthree\n")
    assert tail.more() == ["two", "three"]


def test_the_last_lines_first_and_then_what_comes(log: Path) -> None:
    write(log, "".join(f"{n}\n" for n in range(100)) + "begun")
    tail = Tail(log)
    assert tail.to_end(3) == ["97", "98", "99"]
    assert tail.more() == []
    write(log, " and ended\n")
    assert tail.more() == ["begun and ended"]


def test_what_was_moved_away_unread_is_read_there(log: Path) -> None:
    tail = Tail(log)
    write(log, "one\n")
    assert tail.more() == ["one"]
    write(log, "two\nthree\n")
    bound(log, limit=1)
    write(log, "four\n")
    assert tail.more() == ["two", "three", "four"]


def test_a_new_content_that_is_longer_than_the_old_one_is_seen(log: Path) -> None:
    tail = Tail(log)
    write(log, "one\n")
    tail.more()
    bound(log, limit=1)
    write(log, "x" * 100 + "\n")
    assert tail.more() == ["x" * 100]


def test_one_goes_on_where_another_stood(log: Path) -> None:
    tail = Tail(log)
    write(log, "one\ntwo\nhal")
    tail.more()
    place = tail.place
    write(log, "f\n")
    assert Tail(log, place).more() == ["half"]
    bound(log, limit=1)
    assert Tail(log, place).more() == ["half"]
    log.with_name("1.log.old").write_text("another\n")
    write(log, "new\n")
    assert Tail(log, place).more() == ["new"], "what was read is nowhere any more"


def test_a_file_that_goes_and_comes(log: Path) -> None:
    tail = Tail(log)
    write(log, "one\n")
    tail.more()
    log.unlink()
    assert tail.more() == []
    write(log, "again\n")
    assert tail.more() == ["again"]
    assert Tail(log.with_name("2.log")).to_end(5) == []


def test_bytes_that_are_no_text_and_lines_without_end(log: Path) -> None:
    log.write_bytes(b"\xff\xfe\n")
    tail = Tail(log)
    assert tail.more() == ["��"]
    write(log, "x" * (70 << 10))
    assert "".join(tail.more()) == "x" * (70 << 10)


def test_no_line_is_lost_or_said_twice_however_it_is_moved(log: Path) -> None:
    chance, tail, said, count = random.Random(1), Tail(log), [], 0
    for _ in range(400):
        for _ in range(chance.randrange(4)):
            write(log, f"line {count}\n")
            count += 1
        if chance.random() < 0.3:
            said += tail.more()
            if chance.random() < 0.5:
                bound(log, limit=chance.randrange(60))
        if chance.random() < 0.2:
            tail = Tail(log, tail.place)
    said += tail.more()
    assert said == [f"line {n}" for n in range(count)]
