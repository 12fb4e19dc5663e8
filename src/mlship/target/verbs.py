"""Verbs that an adapter has besides those of all targets: data, which the command line shows as
`mlship <adapter> <verb>`. Found by entry point (group `mlship.verbs`: adapter = module:VERBS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from mlship.errors import TargetError
from mlship.progress import SILENT, Progress
from mlship.result import Result

GROUP = "mlship.verbs"


@dataclass(frozen=True)
class Option:
    """`name` is a word of Python (`max_rc` is --max-rc). Without a default it has to be given; `positional`
    is an argument, `several` may be given more than once."""

    name: str
    kind: type
    help: str
    default: Any = ...
    metavar: str | None = None
    positional: bool = False
    several: bool = False


@dataclass(frozen=True)
class Asked:
    """What a verb is called with: the values by name, and `say` for a result that comes before the end."""

    values: Mapping[str, Any]
    say: Callable[[Result], None]
    progress: Progress = SILENT
    timeout: float | None = None


@dataclass(frozen=True)
class Verb:
    """`text` is its help, the first line a sentence; `examples` are whole commands, one a line."""

    name: str
    text: str
    examples: str
    call: Callable[[Asked], Result | None]
    options: tuple[Option, ...] = field(default=())


def verbs_of(adapter: str) -> tuple[Verb, ...]:
    """Raises TargetError where its package misses another."""
    found = next(entry for entry in entry_points(group=GROUP) if entry.name == adapter)
    try:
        verbs: tuple[Verb, ...] = found.load()
    except ModuleNotFoundError as missing:
        raise TargetError(
            f"mlship {adapter} needs a package that is not installed ({missing.name})",
            fix=f"pip install 'mlship-toolchain[{adapter}]'",
        ) from missing
    return verbs
