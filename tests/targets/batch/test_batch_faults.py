"""Everything that may go wrong between mlship and a batch host: nothing is taken for done that is not, and no
job runs twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import STEP, BreaksOff, Killed, job, run, zosmf
from zos import Zos, emulated

from mlship.errors import ConfigError, MlshipError, PolicyError, TargetError, Waiting
from mlship_batch.transport.protocol import Gone, Unsure
from mlship_batch.transport.zosmf import Attributes

pytestmark = pytest.mark.faults

JOBS, STATUS, SPOOL = "/zosmf/restjobs/jobs", "/zosmf/restjobs/jobs/J*:M*", "/zosmf/restjobs/jobs/*/files*"


def on_job(do: str, **more: Any) -> dict[str, Any]:
    return {"on": "job", "do": do, **more}


def on_request(method: str, path: str, do: str, **more: Any) -> dict[str, Any]:
    return {"on": "request", "method": method, "path": path, "do": do, **more}


def ends(code: int) -> str:
    return f"//RUN EXEC PGM=IDCAMS\n//SYSIN DD *\n SET MAXCC = {code}\n/*\n"


OK = None
# name -> (faults, steps, what comes of it, how many jobs the host then has taken in)
CASES: dict[str, tuple[list[dict[str, Any]], str, type[MlshipError] | None, int]] = {
    "CC 0": ([], ends(0), OK, 1),
    "CC 4": ([], ends(4), OK, 1),
    "CC 8": ([], ends(8), TargetError, 1),
    "CC 12": ([], ends(12), TargetError, 1),
    "CC 16": ([], ends(16), TargetError, 1),
    "a later step hides nothing": ([], ends(8) + "//S EXEC PGM=IEFBR14\n", TargetError, 1),
    "the step that counts did not run": (
        [], f"//S EXEC PGM=IEFBR14\n// IF RC > 0 THEN\n{STEP}// ENDIF\n", TargetError, 1,
    ),
    "abend S0C7": ([on_job("abend", code="S0C7")], STEP, TargetError, 1),
    "abend S806": ([], "//RUN EXEC PGM=MISSING\n", TargetError, 1),
    "abend S913": ([on_job("abend", code="S913")], STEP, PolicyError, 1),
    "abend SB37": ([on_job("abend", code="SB37")], STEP, TargetError, 1),
    "abend U4038": ([on_job("abend", code="U4038")], STEP, TargetError, 1),
    "an abend nobody knows": ([on_job("abend", code="SFFF")], STEP, TargetError, 1),
    "a data set is not there": ([], STEP + "//D DD DSN=ML.NONE,DISP=SHR\n", ConfigError, 1),
    "JCL that cannot be read": ([], "//RUN EXEX PGM=A\n", ConfigError, 1),
    "a card of 81 columns": ([], STEP.rstrip().ljust(82, "X") + "\n", TargetError, 0),
    "JCL error": ([on_job("jcl error")], STEP, ConfigError, 1),
    "conversion error": ([on_job("conv error")], STEP, ConfigError, 1),
    "security error": ([on_job("sec error")], STEP, PolicyError, 1),
    "the system fails": ([on_job("sys fail")], STEP, TargetError, 1),
    "held": ([on_job("hold")], STEP, Waiting, 1),
    "never leaves INPUT": ([on_job("input")], STEP, Waiting, 1),
    "never ends": ([on_job("active")], STEP, Waiting, 1),
    "purged before its spool was read": ([on_job("vanish")], STEP, Gone, 0),
    "401 at submit": ([on_request("PUT", JOBS, "status", status=401)], STEP, PolicyError, 0),
    "403 at submit": ([on_request("PUT", JOBS, "status", status=403)], STEP, PolicyError, 0),
    "503 at submit": ([on_request("PUT", JOBS, "status", status=503)], STEP, TargetError, 0),
    "500 at submit, nothing taken in": ([on_request("PUT", JOBS, "status", status=500)], STEP, Unsure, 0),
    "no answer to submit, nothing taken in": ([on_request("PUT", JOBS, "drop")], STEP, Unsure, 0),
    "no answer to submit, taken in": ([on_request("PUT", JOBS, "drop after")], STEP, OK, 1),
    "half an answer to submit": ([on_request("PUT", JOBS, "cut", size=20)], STEP, OK, 1),
    "the answer to submit comes too late": ([on_request("PUT", JOBS, "wait", seconds=1.5)], STEP, Unsure, 1),
    "503 while asking": ([on_request("GET", STATUS, "status", status=503, times=2)], STEP, OK, 1),
    "500 while asking": ([on_request("GET", STATUS, "status", status=500)], STEP, TargetError, 1),
    "401 while asking": ([on_request("GET", STATUS, "status", status=401)], STEP, PolicyError, 1),
    "no answer while asking": ([on_request("GET", STATUS, "drop", times=2)], STEP, OK, 1),
    "half an answer while asking": ([on_request("GET", STATUS, "cut", size=9)], STEP, OK, 1),
    "never an answer while asking": ([on_request("GET", STATUS, "drop", times=99)], STEP, TargetError, 1),
    "503 at the spool": ([on_request("GET", SPOOL, "status", status=503)], STEP, OK, 1),
    "half a spool file": ([on_request("GET", "*/records", "cut", size=5)], STEP, OK, 1),
    "never a whole spool file": (
        [on_request("GET", "*/records", "cut", size=5, times=99)], STEP, TargetError, 1,
    ),
}  # fmt: skip


@pytest.mark.kinds("case")
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_taken_for_done_that_is_not(zos: Zos, case: str, tmp_path: Path) -> None:
    faults, steps, expected, taken_in = CASES[case]
    zos.emulator.faults.load({"faults": faults})
    transport = zosmf(zos, timeout=1.0)
    if expected is None:
        done = run(transport, job(steps), tmp_path)
        assert done.code <= 4
        assert any(path.name.endswith("JESYSMSG") for path in (tmp_path / "spool").iterdir())
    else:
        with pytest.raises(expected) as error:
            run(transport, job(steps), tmp_path, deadline=0.3)
        assert error.value.exit_code != 0
        ended = (TargetError, ConfigError, PolicyError)
        if expected in ended and taken_in and "asking" not in case and "spool" not in case:
            assert list((tmp_path / "spool").iterdir()), "what a failed job wrote is kept, too"
    end = time.monotonic() + 60
    while len(zos.emulator.jes.jobs.all()) != taken_in:  # one that comes late is taken in when it comes
        assert time.monotonic() < end, zos.emulator.jes.jobs.all()
        time.sleep(0.02)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 9))
def test_killed_at_any_call_it_goes_on_with_the_one_job(
    zos: Zos, call: int, after: bool, tmp_path: Path
) -> None:
    transport = zosmf(zos)
    steps = "//RUN EXEC PGM=BPXBATCH,PARM='SH echo ran >> count'\n"
    try:
        run(BreaksOff(transport, call, after), job(steps), tmp_path)
    except Killed:
        run(transport, job(steps), tmp_path)
    assert (zos.emulator.home / "count").read_text() == "ran\n"


def test_a_host_without_correlators_is_asked_by_the_name_and_the_jcl(zos: Zos, tmp_path: Path) -> None:
    """JES3 takes UJOBCORR and keeps nothing of it."""
    faults = [on_request("PUT", JOBS, "drop after")]
    zos.emulator.faults.load({"faults": faults})
    nothing = [{"on": "request", "method": "GET", "path": JOBS, "do": "status", "status": 200, "body": []}]
    zos.emulator.faults.load({"faults": faults + nothing})
    assert run(zosmf(zos), job(STEP), tmp_path).code == 0
    assert len(zos.emulator.jes.jobs.all()) == 1


def test_an_answer_that_is_no_list_does_not_mean_that_there_is_no_job(zos: Zos, tmp_path: Path) -> None:
    faults = [on_request("PUT", JOBS, "drop after")]
    garbage = on_request("GET", JOBS, "status", status=200, body={"proxy": "hello"})
    zos.emulator.faults.load({"faults": [*faults, garbage]})
    with pytest.raises(TargetError, match="no list of jobs"):
        run(zosmf(zos), job(STEP), tmp_path)
    assert run(zosmf(zos), job(STEP), tmp_path).code == 0
    assert len(zos.emulator.jes.jobs.all()) == 1


@pytest.mark.parametrize(
    ("faults", "content", "fails"),
    [
        ([], b"x" * 160, False),
        ([], b"x" * 159, True),
        ([{"on": "data set", "do": "in use"}], b"x" * 80, True),
        ([{"on": "data set", "do": "full"}], b"x" * 80, True),
        ([on_request("PUT", "*/ML.SEQ", "drop")], b"x" * 80, False),
        ([on_request("PUT", "*/ML.SEQ", "drop after")], b"x" * 80, False),
        ([on_request("PUT", "*/ML.SEQ", "status", status=500)], b"x" * 80, True),
        ([on_request("PUT", "*/ML.SEQ", "status", status=204)], b"x" * 80, True),
        ([on_request("GET", "*/ML.SEQ", "cut", size=70)], b"x" * 80, False),
        ([on_request("GET", "*/ML.SEQ", "cut", size=70, times=99)], b"x" * 80, True),
        ([], b"x" * 80 * 12000, True),
    ],
)
def test_a_data_set_is_sent_whole_or_it_is_an_error(
    zos: Zos, faults: list[dict[str, Any]], content: bytes, fails: bool, tmp_path: Path
) -> None:
    transport, source = zosmf(zos), tmp_path / "source"
    source.write_bytes(content)
    transport.create("ML.SEQ", Attributes("FB", 80, tracks=1))
    zos.emulator.faults.load({"faults": faults})
    if fails:
        with pytest.raises(TargetError):
            transport.put("ML.SEQ", source)
    else:
        assert transport.put("ML.SEQ", source)
        assert zos.get("ML.SEQ", "binary") == content


def test_of_two_writers_one_hears_that_the_other_was_faster(zos: Zos, tmp_path: Path) -> None:
    transport, source = zosmf(zos), tmp_path / "source"
    transport.create("ML.SEQ", Attributes("FB", 80, tracks=1))
    source.write_bytes(b"1" * 80)
    etag = transport.put("ML.SEQ", source)
    source.write_bytes(b"2" * 80)
    assert transport.put("ML.SEQ", source, etag=etag) != etag
    with pytest.raises(TargetError, match="ETag"):
        transport.put("ML.SEQ", source, etag=etag)


def test_a_certificate_that_nobody_vouches_for_and_one_of_the_own_authority(tmp_path: Path) -> None:
    from certificates import Authority

    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    certificate, key = ours.issue("zosmf")
    with emulated(tmp_path / "zos", tls=(str(certificate), str(key))) as zos:
        assert run(zosmf(zos, ca=ours.file), job(STEP), tmp_path / "right").code == 0
        for wrong in (others.file, None):
            with pytest.raises(ConfigError, match="not trusted"):
                run(zosmf(zos, ca=wrong), job(STEP), tmp_path / f"wrong-{wrong is None}")
        assert len(zos.emulator.jes.jobs.all()) == 1
