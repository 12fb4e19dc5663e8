"""How the demo tells its story: headings, commands with what they print, edits, and one sentence on each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

BOLD, DIM, CYAN, GREEN, RED, PLAIN = (f"\033[{code}m" for code in (1, 2, 36, 32, 31, 0))
_COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
LONGEST_COMMAND = 600  # seconds: the first build fetches its wheels


class NotAsToldError(Exception):
    """Something went otherwise than the story says."""


def paint(text: str, *styles: str) -> str:
    return f"{''.join(styles)}{text}{PLAIN}" if _COLOURS else text


def heading(text: str) -> None:
    print(f"\n{paint(f'— {text} —', BOLD)}", flush=True)


def say(text: str) -> None:
    print(paint(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  "), GREEN), flush=True)


def edit(path: Path, old: str, new: str) -> None:
    """Change one place of a file, as a person would in an editor, and show the change."""
    before = path.read_text(encoding="utf-8")
    if before.count(old) != 1:
        raise NotAsToldError(f"{path.name} has {before.count(old)} places that read {old!r}, not one")
    path.write_text(before.replace(old, new), encoding="utf-8")
    print(paint(f"  edit {path.name}", CYAN))
    for sign, text, colour in (("-", old, RED), ("+", new, GREEN)):
        for line in text.strip("\n").splitlines():
            print(paint(f"    {sign} {line}", colour))
    sys.stdout.flush()


class Shell:
    """Runs commands in one folder with one environment, showing each one and what it prints."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, dict(environment)

    def run(
        self, *command: str, code: int = 0, show: int = 40, setting: Mapping[str, str] | None = None
    ) -> None:
        """Show `command` and the first `show` lines it prints; NotAsToldError unless it ends with `code`.

        `setting`: variables typed before the command.
        """
        typed = [*(f"{key}={value}" for key, value in (setting or {}).items()), *command]
        print(paint(f"  $ {' '.join(typed)}", BOLD, CYAN), flush=True)
        began = time.monotonic()
        done = self.quietly(*command, setting=setting, stderr=subprocess.STDOUT)
        lines = done.stdout.rstrip().splitlines()
        left_out = len(lines) - show
        for line in lines[:show] + ([f"… {left_out} more lines"] if left_out > 0 else []):
            print(f"    {paint(line, DIM)}")
        print(paint(f"    [{time.monotonic() - began:.1f} s, exit {done.returncode}]", DIM), flush=True)
        if done.returncode != code:
            rest = "\n".join(lines[show:])
            raise NotAsToldError(f"`{' '.join(typed)}` ended with {done.returncode}, not {code}\n{rest}")

    def quietly(
        self, *command: str, setting: Mapping[str, str] | None = None, stderr: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` without telling."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **(setting or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=LONGEST_COMMAND,
            check=False,
        )


def stop_on_terminate() -> None:
    """Let `kill` end the demo as Ctrl-C does: with everything put away."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def processes_of(folder: Path) -> list[str]:
    """The command lines of running processes that name `folder`."""
    proc = Path("/proc")
    if not (proc / "self" / "cmdline").exists():
        lines = subprocess.run(
            ["ps", "-axo", "args="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return [line for line in lines if str(folder) in line]
    found = []
    for cmdline in proc.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            found.append(cmdline.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
    return [line for line in found if str(folder) in line]
