"""What is written where: results on stdout, the rest on stderr, colour only on a terminal that wants it."""

from __future__ import annotations

import os
import pkgutil
import pty
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

import mlship.ops
from mlship.cli import progress as shown
from mlship.cli.render import VIEWS
from mlship.ops import list as ops_list
from mlship.ops.list import Entry, Listing

DIGEST = "sha256:" + "ab" * 32
LISTING = Listing(
    bundles=(
        Entry(registry="default", name="churn", tags=("1.4", "stable"), digest=DIGEST),
        Entry(registry="default", name="fraud-detection", tags=(), digest=DIGEST),
    )
)


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> None:
    def operation(ctx, place):
        ctx.progress.say("one step")
        ctx.progress.phase("copying", 10)
        ctx.progress.advance(10)
        ctx.warnings.append("this is old")
        return LISTING

    monkeypatch.setattr(ops_list, "list_bundles", operation)


@pytest.mark.usefixtures("listing")
def test_plain_text_without_a_terminal(run) -> None:
    ended = run("list")
    assert ended.code == 0
    assert ended.out == (
        "name             tags         digest               registry\n"
        "churn            1.4, stable  sha256:abababababab  default\n"
        "fraud-detection  -            sha256:abababababab  default\n"
    )
    assert ended.err == "one step\ncopying ...\nwarning: this is old\n"


@pytest.mark.usefixtures("listing")
def test_quiet_shows_the_result_alone(run) -> None:
    ended = run("list", "--quiet")
    assert ended.out.startswith("name")
    assert ended.err == "warning: this is old\n"


@pytest.mark.usefixtures("listing")
def test_json_is_one_envelope_and_nothing_else(run) -> None:
    ended = run("list", "--json")
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 1)
    assert list(ended.envelope) == [
        "schemaVersion", "command", "ok", "exitCode", "result", "error", "warnings",
    ]  # fmt: skip
    assert ended.envelope == {
        "schemaVersion": 1,
        "command": "list",
        "ok": True,
        "exitCode": 0,
        "result": {
            "bundles": [
                {"registry": "default", "name": "churn", "tags": ["1.4", "stable"], "digest": DIGEST},
                {"registry": "default", "name": "fraud-detection", "tags": [], "digest": DIGEST},
            ]
        },
        "error": None,
        "warnings": ["this is old"],
    }


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("variable", ["MLSHIP_QUIET", "MLSHIP_JSON"])
def test_switches_come_from_the_environment_too(variable: str, run, monkeypatch) -> None:
    by_word = run("list", f"--{variable[7:].lower()}")
    monkeypatch.setenv(variable, "1")
    assert run("list") == by_word


def test_version(run) -> None:
    ended = run("--version")
    assert ended.code == 0
    assert ended.out.startswith("mlship 0.")


def on_a_terminal(command: list[str], folder: Path, **environment: str) -> str:
    """What a run of `doctor` writes to a terminal that is its stdin, stdout and stderr."""
    ours, theirs = pty.openpty()
    plain = {
        name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "FORCE_COLOR")
    }
    running = subprocess.Popen(
        [*command, "doctor"],
        cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        env={**plain, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux ends a terminal so
            piece = b""
        if not piece:
            break
        written += piece
    os.close(ours)
    assert running.wait(60) in (0, 1)
    return written.decode()


def test_a_terminal_gets_a_table(command: list[str], tmp_path: Path) -> None:
    assert "───" in on_a_terminal(command, tmp_path)


def test_no_color_writes_no_escapes(command: list[str], tmp_path: Path) -> None:
    coloured, plain = on_a_terminal(command, tmp_path), on_a_terminal(command, tmp_path, NO_COLOR="1")
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
    assert "───" in plain


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_dumb_terminal_gets_plain_text(
    command: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    written = on_a_terminal(command, tmp_path, **environment)
    assert "\x1b" not in written
    assert "─" not in written
    assert "\r" not in written.replace("\r\n", "\n")


def test_plain_progress_overwrites_nothing_and_tells_now_and_then(capsys, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    lines = shown.Lines()
    lines.phase("copying", 4 << 20)
    for second in (1.0, 9.0, 11.0, 12.0, 30.0):
        now[0] = second
        lines.advance(1 << 19)
    lines.phase("waiting")
    now[0] = 60.0
    lines.advance(3)
    assert (
        capsys.readouterr().err
        == "copying ...\ncopying ... 37 %\ncopying ... 62 %\nwaiting ...\nwaiting ... 3\n"
    )


def test_the_rate_of_a_phase_is_told_at_its_end(capsys, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    lines = shown.Lines()
    for name, unit, amount, seconds in (
        ("checking", "items", 20, 5.0),
        ("hashing", "bytes", 9_000_000, 0.5),  # too short to say anything
        ("sending", "bytes", 9_000_000, 3.0),
        ("nothing", "bytes", 0, 3.0),
    ):
        lines.phase(name, amount, unit=unit)
        lines.advance(amount)
        now[0] += seconds
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "checking ...",
        "hashing ...",
        "sending ...",
        "sending: 9.0 MB, 3.0 MB/s",
        "nothing ...",
    ]


def test_every_view_is_of_a_result_that_exists() -> None:
    modules = [
        import_module(f"mlship.ops.{module.name}") for module in pkgutil.iter_modules(mlship.ops.__path__)
    ]
    assert set(VIEWS) <= {name for module in modules for name in vars(module)}
