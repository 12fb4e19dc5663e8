"""`mlship batch submit`: the exit code tells what became of the job, which is sent once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from zos import PASSWORD, USER, Zos, emulated

JCL = """\
//SCORE JOB (A),'ROOM 7',CLASS=A    comment
//RUN EXEC PGM=IDCAMS
//SYSPRINT DD SYSOUT=*
//SYSIN DD *
{}
/*
"""


@pytest.fixture
def zos(tmp_path: Path) -> Iterator[Zos]:
    with emulated(tmp_path / "zos") as running:
        yield running


@pytest.fixture
def submit(run: Callable[..., Any], zos: Zos, tmp_path: Path) -> Callable[..., Any]:
    """`submit(cards, words...)`: a job whose SYSIN has `cards`, in the folder of the test."""
    (tmp_path / "password").write_text(PASSWORD + "\n")

    def submitted(cards: str, *words: str) -> Any:
        (tmp_path / "score.jcl").write_text(JCL.format(cards))
        access = ["--url", zos.emulator.url, "--user", USER, "--password-file", "password"]
        return run("batch", "submit", "score.jcl", *access, *words)

    return submitted


def test_a_job_that_goes_well(submit: Callable[..., Any], zos: Zos, tmp_path: Path) -> None:
    ended = submit(" SET MAXCC = 4", "--json")
    result = ended.envelope["result"]
    assert (ended.code, result["job"], result["retcode"]) == (0, "SCORE", "CC 0004")
    assert result["steps"] == [{"step": "RUN", "ended": "CC 0004"}]
    assert "SET MAXCC" in next((tmp_path / "spool").glob("*RUN.SYSPRINT")).read_text()
    assert not (tmp_path / "spool.job.json").exists()
    assert submit(" SET MAXCC = 0").code == 0
    assert len(zos.emulator.jes.jobs.all()) == 2


def test_one_that_fails_is_an_error_and_its_output_is_kept(
    submit: Callable[..., Any], tmp_path: Path
) -> None:
    ended = submit(" SET MAXCC = 12")
    assert (ended.code, "CC 0012 (RUN CC 0012)" in ended.err) == (6, True)
    assert list((tmp_path / "spool").glob("*RUN.SYSPRINT"))
    assert submit(" SET MAXCC = 4", "--max-rc", "3").code == 6
    assert submit("/*\n//BAD EXEX").code == 2


def test_given_up_it_goes_on_with_the_same_job(submit: Callable[..., Any], zos: Zos, tmp_path: Path) -> None:
    zos.emulator.faults.load({"faults": [{"on": "job", "do": "hold"}]})
    ended = submit(" SET MAXCC = 0", "--wait", "0.05")
    assert (ended.code, "is held" in ended.err) == (10, True)
    assert submit(" SET MAXCC = 1", "--wait", "0.05").code == 2  # another job would be another one
    (record,) = zos.emulator.jes.jobs.all()
    assert json.loads((tmp_path / "spool.job.json").read_text())["ticket"]["number"] == record.jobid
    zos.emulator.jes.release(record)
    assert submit(" SET MAXCC = 0").code == 0
    assert len(zos.emulator.jes.jobs.all()) == 1


def test_what_cannot_be_is_refused_before_anything_is_sent(
    submit: Callable[..., Any], run: Callable[..., Any], zos: Zos, tmp_path: Path
) -> None:
    start = ("batch", "submit", "score.jcl", "--user", USER, "--password-file", "password")
    submit(" SET MAXCC = 0")
    assert run(*start, "--url", "http://zos.example.org").code == 2
    (tmp_path / "score.jcl").write_text("//A JOB UJOBCORR=MINE\n")
    assert run(*start, "--url", zos.emulator.url).code == 2
    (tmp_path / "score.jcl").write_text("no job\n")
    assert run(*start, "--url", zos.emulator.url).code == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("years of work")
    ended = submit(" SET MAXCC = 0", "--spool", "mine")
    assert (ended.code, "thesis" in ended.err) == (2, True)
    assert submit(" SET MAXCC = 0", "--spool", ".").code == 2
    (tmp_path / "password").write_text("")
    assert run(*start, "--url", zos.emulator.url).code == 2
    assert len(zos.emulator.jes.jobs.all()) == 1
    assert not (tmp_path / "spool.job.json").exists()


def test_a_wrong_password(submit: Callable[..., Any], tmp_path: Path, zos: Zos) -> None:
    zos.emulator.options.users[USER] = "OTHER"
    ended = submit(" SET MAXCC = 0")
    assert (ended.code, PASSWORD in ended.err) == (9, False)
