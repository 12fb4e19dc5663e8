"""Runs the actions of a plan: those of one host in their order, several hosts side by side."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from itertools import groupby
from threading import Event
from typing import TypeVar

from mlship.errors import LockedError
from mlship.target.plan import Action

AT_ONCE = 8  # hosts: an sshd refuses more than 10 connections that are not let in yet (MaxStartups)
Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")
Do = Callable[[int, Action], None]
Step = tuple[int, Action]


def in_turns(actions: Sequence[Action], do: Do) -> None:
    """`do(index, action)` for each: turn by turn, and in a turn the hosts side by side. After a failure no
    other action begins; what has begun is waited for, then the first error is raised.
    """
    for _, turn in groupby(enumerate(actions), lambda step: step[1].turn):
        _together(_lanes(turn), do)


def each_host_alone(actions: Sequence[Action], do: Do) -> dict[str, Exception]:
    """`do(index, action)` for each, the hosts side by side without turns; where one fails, the others go on.
    Returns the error of each host that failed.
    """
    errors: dict[str, Exception] = {}

    def run(host: str, steps: Sequence[Step]) -> None:
        try:
            for index, action in steps:
                do(index, action)
        except Exception as error:
            errors[host] = error
            raise

    with suppress(Exception):
        lanes = _lanes(enumerate(actions))
        side_by_side({host: partial(run, host, steps) for host, steps in lanes.items()})
    return errors


def side_by_side(
    work: Mapping[Key, Callable[[], Found]], stop: Callable[[], None] | None = None
) -> dict[Key, Found]:
    """What each piece of work returns; at most AT_ONCE at a time. Raises the error of one, when all ended.
    Interrupted, it calls `stop` and waits for those that have begun.
    """
    if len(work) < 2:
        return {key: piece() for key, piece in work.items()}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mlship-host") as pool:
        begun = {key: pool.submit(piece) for key, piece in work.items()}
        try:
            wait(begun.values())
        except BaseException:
            for future in begun.values():
                future.cancel()
            if stop:
                stop()
            raise
    return {key: future.result() for key, future in begun.items()}


def _lanes(steps: Iterable[Step]) -> dict[str, list[Step]]:
    lanes: dict[str, list[Step]] = {}
    for index, action in steps:
        lanes.setdefault(action.host, []).append((index, action))
    return lanes


def _together(lanes: Mapping[str, Sequence[Step]], do: Do) -> None:
    failed, errors = Event(), list[BaseException]()

    def run(steps: Sequence[Step]) -> None:
        for index, action in steps:
            if failed.is_set():
                return
            try:
                do(index, action)
            except BaseException as error:
                errors.append(error)
                failed.set()
                raise

    try:
        side_by_side({host: partial(run, steps) for host, steps in lanes.items()}, stop=failed.set)
    except BaseException as error:
        if error not in errors:  # this thread was interrupted
            raise
        raise next((found for found in errors if isinstance(found, LockedError)), errors[0]) from None
