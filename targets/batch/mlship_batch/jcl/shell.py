"""The same for a plain batch host: steps as commands in a shell script, with return codes as in a job.

A step is bypassed as COND would have it; the script ends with the largest return code of those that ran, at
most 15, and prints a line for each step.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlship.errors import ConfigError
from mlship_batch.jcl import checked
from mlship_batch.jcl.values import CodeTest, bypasses

_HEAD = """\
#!/bin/sh
set -u
most=0
begin={restart}
[ -n "$begin" ] && skip=1 || skip=0
ended() {{ printf '%s %s\\n' "$1" "$2"; [ "$2" -le "$most" ] || most=$2; }}
"""
_SHELL = {"GT": "-gt", "GE": "-ge", "EQ": "-eq", "LT": "-lt", "LE": "-le", "NE": "-ne"}
HIGHEST = 15  # what z/OS UNIX passes on as 3840; 16 would be 0


@dataclass(frozen=True)
class Command:
    """One step: a command (never read by a shell), its environment, and when it is not run."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    bypass: tuple[CodeTest, ...] = ()

    def __post_init__(self) -> None:
        checked.name(self.name, "step")
        bypasses(self.name, self.bypass)
        if not self.argv or any("\0" in word or "\n" in word for word in self.argv):
            raise ConfigError(f"step {self.name} has no command that a script can hold")
        for name, value in self.environment.items():
            if not name.isidentifier() or not name.isascii() or "\0" in value or "\n" in value:
                raise ConfigError(f"step {self.name} cannot have the variable {name!r}")


def script(steps: tuple[Command, ...], restart: str = "") -> str:
    """Raises ConfigError for names that come twice, tests of steps that do not come before, a restart that is
    no step."""
    names = [step.name for step in steps]
    if len(set(names)) != len(names) or not names or (restart and restart not in names):
        raise ConfigError(
            "a script needs steps with names of their own", cause=f"they are {', '.join(names)}"
        )
    lines = [_HEAD.format(restart=shlex.quote(restart))]
    for at, step in enumerate(steps):
        lines += _step(step, names[:at])
    return "".join(lines) + 'exit "$most"\n'


def _step(step: Command, before: list[str]) -> Iterator[str]:
    for test in step.bypass:
        if test.step and test.step not in before:
            raise ConfigError(f"step {step.name} looks at {test.step}, which does not come before it")
    words = " ".join(shlex.quote(word) for word in step.argv)
    given = "".join(f"{name}={shlex.quote(value)} " for name, value in step.environment.items())
    tests = [_test(test) for test in step.bypass]
    bypassed = " || ".join(['[ "$skip" = 1 ]', *tests])
    yield f'rc_{_variable(step.name)}=""\n[ "$begin" != {shlex.quote(step.name)} ] || skip=0\n'
    yield f"if {bypassed}; then printf '%s FLUSH\\n' {shlex.quote(step.name)}\n"
    yield f"else\n  {given}{words}\n  code=$?\n"
    yield f'  [ "$code" -le {HIGHEST} ] || code={HIGHEST}\n'
    yield f'  rc_{_variable(step.name)}=$code\n  ended {shlex.quote(step.name)} "$code"\nfi\n'


def _test(test: CodeTest) -> str:
    """A step that did not run fulfils none."""
    seen = f'"$rc_{_variable(test.step)}"' if test.step else '"$most"'
    ran = f"[ -n {seen} ] && " if test.step else ""
    return f"{{ {ran}[ {seen} {_SHELL[test.operator]} {test.code} ]; }}"


def _variable(name: str) -> str:
    return "".join(character if character.isalnum() else f"_{ord(character):02x}" for character in name)
