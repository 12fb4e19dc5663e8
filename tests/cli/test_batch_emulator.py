"""`mlship batch emulator` as a user starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path


def test_it_says_where_it_answers_and_ends_when_told(command: list[str], tmp_path: Path) -> None:
    words = [*command, "batch", "emulator", "--folder", str(tmp_path / "zos"), "--json"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        said = json.loads(running.stdout.readline())
        with urllib.request.urlopen(f"{said['url']}/zosmf/info") as answer:
            assert json.load(answer)["zosmf_port"] == said["url"].rpartition(":")[2]
        assert (said["user"], len(said["password"])) == ("IBMUSER", 8)
        second = subprocess.run(words, capture_output=True, text=True)
        assert (second.returncode, "is in use" in second.stdout) == (6, True)
    finally:
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
        running.wait(60)
        running.stdout.close()
    assert (running.returncode, json.loads(rest)["ok"]) == (0, True)


def test_options_that_cannot_be_are_refused(run, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    start = ("batch", "emulator", "--folder", str(tmp_path / "zos"))
    assert run(*start, "--user", "not a user").code == 2
    assert run(*start, "--password-file", str(nothing)).code == 2
    assert run(*start, "--certificate", str(nothing)).code == 2
    nothing.write_text('{"faults": [{"on": "job", "do": "explode"}]}')
    ended = run(*start, "--faults", str(nothing))
    assert (ended.code, "explode" in ended.err) == (2, True)
    assert not (tmp_path / "zos").exists()
