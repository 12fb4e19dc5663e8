"""Exit codes, the one line of an error, and its form with --json."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlship import errors
from mlship.ops import list as ops_list
from mlship_runtime import errors as runtime_errors

# The table of the documentation (docs/reference/exit-codes.md), as data.
CODES = [
    (errors.MlshipError, 1, "unexpected"),
    (errors.UsageError, 2, "usage"),
    (errors.ConfigError, 2, "config"),
    (errors.BundleError, 4, "bundle"),
    (errors.BuildError, 4, "build"),
    (errors.RegistryError, 5, "registry"),
    (errors.TagMovedError, 5, "tag-moved"),
    (errors.TargetError, 6, "target"),
    (errors.LockedError, 7, "locked"),
    (errors.UnhealthyError, 8, "unhealthy"),
    (errors.PolicyError, 9, "policy"),
    (errors.Waiting, 10, "waiting"),
    (errors.NotRestoredError, 11, "not-restored"),
    (runtime_errors.InvalidBundle, 4, "bundle"),
    (runtime_errors.SiteError, 6, "site"),
    (runtime_errors.Fenced, 7, "fenced"),
]


def raising(error: BaseException):
    def operation(*_):
        raise error

    return operation


@pytest.mark.parametrize(("kind", "code", "name"), CODES, ids=[name for *_, name in CODES])
def test_exit_code_of_each_error(kind, code, name, run, monkeypatch) -> None:
    monkeypatch.setattr(
        ops_list, "list_bundles", raising(kind("it broke.", cause="a\nreason", fix="Mend it."))
    )
    ended = run("list")
    assert (ended.code, ended.out, ended.err) == (code, "", "error: it broke: a reason. Mend it\n")
    ended = run("list", "--json")
    assert (ended.code, ended.err) == (code, "")
    assert ended.envelope == {
        "schemaVersion": 1,
        "command": "list",
        "ok": False,
        "exitCode": code,
        "result": None,
        "error": {"kind": name, "what": "it broke", "cause": "a reason", "fix": "Mend it"},
        "warnings": [],
    }


def test_no_error_class_is_missing_in_the_table() -> None:
    def family(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(family(child) for child in kind.__subclasses__()))

    own = {kind for kind in family(errors.MlshipError) if kind.__module__ == "mlship.errors"}
    assert own == {kind for kind, *_ in CODES if kind.__module__ == "mlship.errors"}
    assert (errors.EXIT_CHANGES_PENDING, errors.EXIT_INTERRUPTED) == (3, 130)


def test_a_surprise_is_one_line_and_debug_says_where(run, monkeypatch) -> None:
    monkeypatch.setattr(ops_list, "list_bundles", raising(ZeroDivisionError("by\nzero")))
    ended = run("list")
    assert ended.code == 1
    assert (
        ended.err == "error: unexpected ZeroDivisionError: by zero. Run it again with --debug to see where\n"
    )
    ended = run("list", "--debug")
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert ended.err.endswith("\nerror: unexpected ZeroDivisionError: by zero\n")


def test_ctrl_c(run, monkeypatch) -> None:
    monkeypatch.setattr(ops_list, "list_bundles", raising(KeyboardInterrupt()))
    ended = run("list")
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    ended = run("list", "--json", "--debug")
    assert (ended.code, ended.err) == (130, "")
    assert ended.envelope["error"]["kind"] == "interrupted"


USAGE = [
    ("deply", "there is no command 'deply'. Did you mean deploy?"),
    ("zzzz", "there is no command 'zzzz'. mlship --help lists the commands"),
    ("bogus", "there is no command 'bogus'. mlship --help lists the commands"),
    ("--jsn", "No such option: --jsn"),
    ("list --al", "No such option: --al"),
    ("list a b", "Got unexpected extra argument"),
    ("tag churn:1", "Missing argument 'TAG'. See mlship tag --help"),
    ("logs --lines x", "Invalid value for '--lines'"),
    ("list --timeout 0", "--timeout is a time in seconds. Give it a number above 0"),
    ("list --timeout nan", "--timeout is a time in seconds. Give it a number above 0"),
    ("init --model m.joblib", "--model and --examples go together"),
    ("deploy churn:1.4", "churn:1.4 is a bundle, and the target comes first. mlship deploy TARGET churn:1.4"),
    ("status prod", "there is no target 'prod'"),
    ("destroy local", "this needs a yes, and there is no terminal to ask on. Add --yes"),
    ("force-unlock local", "this needs a yes, and there is no terminal to ask on. Add --yes"),
    ("invoke local", "nothing to send. Give one of --data JSON, --data @FILE, --csv FILE, or - for stdin"),
    ("invoke local --data {} --csv x.csv", "rows come from one place only"),
    ("invoke local --csv x.csv", "x.csv cannot be read: No such file or directory"),
    ("invoke local --data @x.json", "x.json cannot be read: No such file or directory"),
    ("invoke local --csv /dev/null", "/dev/null is empty: nothing was given"),
    ("invoke local --data @/dev/null", "/dev/null is empty: nothing was given"),
    ("inspect", "there is no project here, so a bundle must be named"),
    ("inspect Churn", "'Churn' is not a name"),
    ("inspect churn@sha256:12", "'sha256:12' is not a digest"),
    ("list nope/churn", "there is no registry 'nope'"),
    ("list ftp://x/y", "no registry or store has the URL 'ftp://x/y'"),
    ("lock", "there is no mlship.toml here or in a folder above"),
]


@pytest.mark.parametrize(("words", "message"), USAGE, ids=[words for words, _ in USAGE])
def test_wrong_words_end_with_2(words: str, message: str, run) -> None:
    ended = run(*words.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert ended.err.count("\n") == 1
    told = run(*words.split(), "--json")
    assert (told.code, told.err) == (2, "")
    assert told.envelope["error"]["kind"] in ("usage", "config")
    said = told.envelope["error"]
    assert message.startswith(said["what"]) or said["what"].startswith(message)


def test_usage_errors_are_json_when_the_environment_asks(run, monkeypatch) -> None:
    monkeypatch.setenv("MLSHIP_JSON", "1")
    ended = run("tag", "churn:1")
    assert (ended.code, ended.envelope["command"]) == (2, "tag")


def test_a_time_limit_ends_what_only_reads(run, monkeypatch) -> None:
    monkeypatch.setattr(ops_list, "list_bundles", lambda *_: time.sleep(30))
    began = time.monotonic()
    ended = run("list", "--timeout", "0.2")
    assert time.monotonic() - began < 10
    assert (ended.code, ended.err) == (5, "error: list took longer than 0.2 s. Give it more with --timeout\n")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("verb", ["promote", "gc", "fsck"])
def test_what_takes_too_long_in_a_registry_is_its_error(run, monkeypatch, verb: str) -> None:
    monkeypatch.setattr(f"mlship.ops.{verb}.{verb}", lambda *_, **__: time.sleep(30))
    words = {"promote": ("churn:1.0", "prod"), "gc": ("--yes",), "fsck": ()}
    assert run(verb, *words[verb], "--timeout", "0.2").code == 5


def test_ctrl_c_of_a_process(command: list[str], tmp_path: Path) -> None:
    """A real signal, while it waits for its input."""
    running = subprocess.Popen(
        [*command, "invoke", "local", "-"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not _waits(running.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, "", "interrupted\n")


def _waits(pid: int) -> bool:
    """Whether the process has started and sleeps in a read of its pipe."""
    if sys.platform != "linux":
        time.sleep(2)
        return True
    return bool(re.search(r"pipe", Path(f"/proc/{pid}/wchan").read_text()))


def test_a_closed_pipe_is_no_traceback(command: list[str], tmp_path: Path) -> None:
    script = f"{' '.join(command)} --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 141
    assert done.stderr == ""
