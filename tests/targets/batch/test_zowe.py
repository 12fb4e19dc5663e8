"""The zowe command line, which nobody here wrote, gets along with the emulator; and ends with 0 whatever
became of a job."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zos as zos_samples
from zos import PASSWORD, USER, Zos

JCL = """\
//ZW JOB (A),'ME'
//A EXEC PGM=IEBGENER
//SYSPRINT DD SYSOUT=*
//SYSUT1 DD *
HELLO
//SYSUT2 DD SYSOUT=*
"""
Zowe = Callable[..., dict[str, Any]]


@pytest.fixture
def zowe(zos: Zos, tmp_path: Path, require: Callable[[str], None]) -> Zowe:
    """`zowe(words...)`: what it says as JSON; it has to end with 0."""
    require("zowe")
    program = zos_samples.zowe()
    assert program is not None
    session = ["--host", "127.0.0.1", "--port", str(zos.port), "--protocol", "http"]
    session += ["--user", USER, "--password", PASSWORD, "--rfj"]

    def run(*words: str) -> dict[str, Any]:
        environment = {**os.environ, "ZOWE_CLI_HOME": str(tmp_path / "zowe"), "NODE_NO_WARNINGS": "1"}
        done = subprocess.run([program, *words, *session], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    return run


def test_it_submits_and_reads_the_spool(zos: Zos, zowe: Zowe, tmp_path: Path) -> None:
    job = tmp_path / "job.jcl"
    job.write_text(JCL)
    ended = zowe("zos-jobs", "submit", "local-file", str(job), "--wait-for-output")["data"]
    assert (ended["status"], ended["retcode"]) == ("OUTPUT", "CC 0000")
    spool = zowe("zos-jobs", "view", "all-spool-content", ended["jobid"])["stdout"]
    assert "HELLO" in spool
    assert "1 RECORDS COPIED" in spool


def test_it_uploads_downloads_and_lists(zos: Zos, zowe: Zowe, tmp_path: Path) -> None:
    rows, back = tmp_path / "rows", tmp_path / "back"
    rows.write_bytes(bytes(range(256)) * 5)
    zos.create("ML.SEQ", recfm="FB", lrecl=256)
    zowe("zos-files", "upload", "file-to-data-set", str(rows), "ML.SEQ", "--binary")
    zowe("zos-files", "download", "data-set", "ML.SEQ", "--binary", "-f", str(back))
    assert back.read_bytes() == rows.read_bytes()
    listed = zowe("zos-files", "list", "data-set", "ML.*", "-a")["data"]["apiResponse"]["items"]
    assert [(item["dsname"], item["lrecl"]) for item in listed] == [("ML.SEQ", "256")]


@pytest.mark.faults
def test_the_rest_of_it(zos: Zos, zowe: Zowe, tmp_path: Path) -> None:
    text, back = tmp_path / "text", tmp_path / "back"
    text.write_text("one\ntwo [x]\n")
    zowe("zos-files", "create", "data-set-partitioned", "ML.PO", "--block-size", "0", "--record-length", "35")
    zowe("zos-files", "upload", "file-to-data-set", str(text), "ML.PO(T)")
    zowe("zos-files", "download", "data-set", "ML.PO(T)", "-f", str(back))
    assert back.read_text() == text.read_text()
    assert zowe("zos-files", "list", "all-members", "ML.PO")["data"]["apiResponse"]["items"] == [
        {"member": "T"}
    ]
    home = str(zos.emulator.home)
    zowe("zos-files", "upload", "file-to-uss", str(text), f"{home}/t")
    zowe("zos-files", "download", "uss-file", f"{home}/t", "-f", str(back))
    names = [
        item["name"] for item in zowe("zos-files", "list", "uss-files", home)["data"]["apiResponse"]["items"]
    ]
    assert (back.read_text(), names) == (text.read_text(), [".", "..", "t"])
    zowe("zos-files", "delete", "uss-file", f"{home}/t", "-f")
    zos.put("ML.PO(J)", (JCL.replace("ZW JOB", "HELD JOB").replace("'ME'", "TYPRUN=HOLD")).encode())
    held = zowe("zos-jobs", "submit", "data-set", "ML.PO(J)")["data"]
    zowe("zos-jobs", "cancel", "job", held["jobid"])
    seen = zowe("zos-jobs", "view", "job-status-by-jobid", held["jobid"])["data"]
    assert (seen["status"], seen["retcode"]) == ("OUTPUT", "CANCELED")
    zowe("zos-jobs", "delete", "job", held["jobid"])
    zowe("zos-files", "delete", "data-set", "ML.PO", "-f")
    zowe("zosmf", "check", "status")
    assert (zos.names("ML"), zos.call("GET", f"{zos_samples.JOBS}").json) == ([], [])


@pytest.mark.faults
@pytest.mark.parametrize(
    ("fault", "retcode"),
    [
        ({"do": "code", "code": "12"}, "CC 0012"),
        ({"do": "abend", "code": "S0C7"}, "ABEND S0C7"),
        ({"do": "jcl error"}, "JCL ERROR"),
    ],
)
def test_it_ends_with_0_although_the_job_failed(
    zos: Zos, zowe: Zowe, tmp_path: Path, fault: dict[str, Any], retcode: str
) -> None:
    zos.emulator.faults.load({"faults": [{"on": "job", **fault}]})
    job = tmp_path / "job.jcl"
    job.write_text(JCL)
    ended = zowe("zos-jobs", "submit", "local-file", str(job), "--wait-for-output")["data"]
    assert ended["retcode"] == retcode
