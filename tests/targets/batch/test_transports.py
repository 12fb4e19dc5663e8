"""Every way to a batch host does the same with a job: once, waited for, judged, its output kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import STEP, job, run, zosmf
from zos import Zos

from mlship.errors import ConfigError, PolicyError, TargetError, Waiting
from mlship.host.local import LocalHost
from mlship.host.ssh import SshHost
from mlship.host.ssh.by_openssh import OpenSshWire
from mlship.host.ssh.by_paramiko import ParamikoWire
from mlship_batch.transport.hand_over import HandOver
from mlship_batch.transport.once import new_token, submit_once
from mlship_batch.transport.outcomes import TABLE, judge, row_of
from mlship_batch.transport.plain import PlainHost
from mlship_batch.transport.protocol import Job, Seen, StepSeen, Transport
from mlship_batch.transport.rest import Access
from mlship_batch.transport.waiting import finish
from mlship_batch.transport.zosmf import Zosmf


@dataclass
class Way:
    """`work` is what happens at the far end meanwhile; `wanted(code)` a job that ends with it."""

    transport: Transport
    wanted: Callable[[int], Callable[[str], Job]]
    work: Callable[[], None]


def _shell(code: int) -> Callable[[str], Job]:
    return lambda token: Job("SCORE", token, f"echo said; echo ran >> ../count; exit {code}\n")


def _jcl(code: int) -> Callable[[str], Job]:
    echo = "//RUN EXEC PGM=IEBGENER\n//SYSPRINT DD SYSOUT=*\n//SYSUT1 DD *\nsaid\n//SYSUT2 DD SYSOUT=*\n"
    return job(f"{echo}//END EXEC PGM=IDCAMS\n//SYSIN DD *\n SET MAXCC = {code}\n/*\n")


def _answered(kits: Path) -> None:
    """A person who does what README.txt says; the kit's job is a shell script."""
    for kit in kits.glob("M*"):
        done = subprocess.run(["sh", str(kit / "job.txt")], cwd=kit, capture_output=True)
        (kit / "spool").mkdir(exist_ok=True)
        (kit / "spool" / "out").write_bytes(done.stdout)
        token = json.loads((kit / "kit.json").read_text())["token"]
        answer = {"token": token, "retcode": f"CC {done.returncode:04d}", "steps": {}}
        answer["files"] = {"out": hashlib.sha256(done.stdout).hexdigest()}
        (kit / "answer.json").write_text(json.dumps(answer))


@pytest.fixture(params=["zosmf", "command", "queue", "hand-over"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    base, queue = tmp_path / "base", tmp_path / "queue"
    if request.param == "zosmf":
        return Way(zosmf(request.getfixturevalue("zos")), _jcl, lambda: None)
    if request.param == "command":
        return Way(PlainHost(LocalHost(), str(base), ["sh", "{file}"]), _shell, lambda: None)
    if request.param == "queue":
        queue.mkdir()

        def scheduler() -> None:
            for script in queue.glob("*.sh"):
                subprocess.run(["sh", str(script)])

        return Way(PlainHost(LocalHost(), str(base), queue=str(queue)), _shell, scheduler)
    return Way(HandOver(base), _shell, lambda: _answered(base))


@pytest.mark.parametrize(("code", "fails"), [(0, False), (4, False), (5, True), (12, True)])
def test_a_job_is_run_judged_and_kept(way: Way, code: int, fails: bool, tmp_path: Path) -> None:
    ticket = submit_once(way.transport, tmp_path / "note.json", way.wanted(code))
    way.work()
    if fails:
        with pytest.raises(TargetError, match="above what is allowed"):
            run(way.transport, way.wanted(code), tmp_path)
    else:
        done = run(way.transport, way.wanted(code), tmp_path)
        assert (done.ticket, done.code) == (ticket, code)
    spool = "".join(path.read_text() for path in sorted((tmp_path / "spool").iterdir()))
    assert "said\n" in spool


def test_what_has_not_run_is_waited_for_and_not_sent_again(way: Way, tmp_path: Path) -> None:
    if way.transport.name == "z/OSMF":
        pytest.skip("its jobs run at once; held ones are in the table of faults")
    if isinstance(way.transport, PlainHost) and way.transport._submit:
        pytest.skip("its command runs the job")
    for _ in range(2):
        with pytest.raises(Waiting):
            run(way.transport, way.wanted(0), tmp_path, deadline=0.05)
    way.work()
    assert run(way.transport, way.wanted(0), tmp_path).code == 0


@pytest.mark.faults
@pytest.mark.parametrize("wire", [OpenSshWire, ParamikoWire])
def test_a_plain_host_behind_ssh(sshd: Any, wire: Any, tmp_path: Path) -> None:
    access = sshd.access()
    host = SshHost(wire(access), access)
    way = PlainHost(host, str(tmp_path / "base"), ["sh", "{file}"])
    note, rows = tmp_path / "note.json", tmp_path / "rows"
    rows.write_bytes(bytes(range(256)) * 100)
    wanted = "cmp rows.bin ../../rows && echo same; exit {}\n"
    ticket = submit_once(way, note, lambda token: Job("SCORE", token, wanted.format(3), {"rows.bin": rows}))
    done = finish(way, ticket, tmp_path / "spool")
    assert (done.code, (tmp_path / "spool" / "001-spool.out").read_text()) == (3, "same\n")
    host.close()


def test_a_plain_host_runs_once_what_was_handed_in_twice(tmp_path: Path) -> None:
    way = PlainHost(LocalHost(), str(tmp_path / "base"), ["sh", "{file}"])
    wanted = _shell(0)(new_token())
    for _ in range(3):
        way.send(wanted)
    assert (tmp_path / "base" / "count").read_text() == "ran\n"


def test_a_plain_host_tells_of_commands_that_fail_and_of_jobs_that_are_gone(tmp_path: Path) -> None:
    note, base = tmp_path / "note.json", tmp_path / "base"
    with pytest.raises(TargetError, match="did not take job SCORE in"):
        submit_once(PlainHost(LocalHost(), str(base), ["false", "{file}"]), note, _shell(0))
    way = PlainHost(LocalHost(), str(base), ["sh", "{file}"])
    ticket = submit_once(way, note, _shell(0))
    with pytest.raises(TargetError, match="runs already"):
        way.cancel(ticket)
    (base / ticket.correlator / "ended").write_text("rubbish\n")
    with pytest.raises(TargetError, match="not known how"):
        run(way, _shell(0), tmp_path)
    shutil.rmtree(base)
    with pytest.raises(TargetError, match="any more"):
        run(way, _shell(0), tmp_path)


def test_a_job_that_has_not_begun_on_a_plain_host_can_be_cancelled(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    way = PlainHost(LocalHost(), str(tmp_path / "base"), queue=str(tmp_path / "queue"))
    ticket = submit_once(way, tmp_path / "note.json", _shell(0))
    way.cancel(ticket)
    for script in (tmp_path / "queue").iterdir():
        subprocess.run(["sh", str(script)], check=True)
    assert way.seen(ticket).retcode == "CANCELED"
    assert not (tmp_path / "base" / "count").exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda kit: (kit / "spool" / "out").write_text("changed"), "is not the file that the answer names"),
        (lambda kit: (kit / "answer.json").write_text('{"token": "X", "retcode": "CC 0000"}'), "another job"),
        (lambda kit: (kit / "answer.json").write_text("{}"), "another job"),
        (lambda kit: shutil.rmtree(kit), "is gone"),
    ],
)
def test_an_answer_that_is_none_is_no_success(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    kits = tmp_path / "kits"
    way = HandOver(kits)
    ticket = submit_once(way, tmp_path / "note.json", _shell(0))
    _answered(kits)
    spoil(kits / ticket.correlator)
    with pytest.raises((TargetError, ConfigError), match=says):
        run(way, _shell(0), tmp_path)


def test_an_answer_without_a_return_code_is_refused(tmp_path: Path) -> None:
    way = HandOver(tmp_path / "kits")
    ticket = submit_once(way, tmp_path / "note.json", _shell(0))
    (tmp_path / "kits" / ticket.correlator / "answer.json").write_text(f'{{"token": "{ticket.correlator}"}}')
    with pytest.raises(ConfigError, match="names no return code"):
        run(way, _shell(0), tmp_path)


@pytest.mark.parametrize(
    ("retcode", "error", "code"),
    [
        ("CC 0008", TargetError, 6), ("CC 4095", TargetError, 6), ("ABEND S0C7", TargetError, 6),
        ("ABEND S913", PolicyError, 9), ("ABEND SE37", TargetError, 6), ("ABENDU4038", TargetError, 6),
        ("ABEND U4038", TargetError, 6), ("JCL ERROR", ConfigError, 2), ("SEC ERROR", PolicyError, 9),
        ("CONV ABEND", ConfigError, 2), ("CANCELED", TargetError, 6), ("SYS FAIL", TargetError, 6),
        (None, TargetError, 6), ("", TargetError, 6), ("CC 000", TargetError, 6),
        ("CC 0000 ", TargetError, 6),
        ("cc 0000", TargetError, 6), ("NEW WORD", TargetError, 6),
    ],
)  # fmt: skip
def test_how_jobs_end_and_with_which_exit_code(
    retcode: str | None, error: type[Exception], code: int
) -> None:
    with pytest.raises(error) as raised:
        judge("SCORE", Seen("OUTPUT", retcode), 4)
    assert raised.value.exit_code == code


def test_every_row_of_the_table_can_be_met() -> None:
    words = ["CC 0008", "ABEND S0C7", "ABEND S0C4", "ABEND SB37", "ABEND S806", "ABEND S013", "ABEND S913"]
    words += ["ABEND S322", "ABEND S222", "ABEND S80A", "ABEND SFFF", "ABENDU0001", "JCL ERROR", "CONV ERROR"]
    words += ["SEC ERROR", "CANCELED", "SYS FAIL"]
    assert [row_of(word) for word in words] == list(TABLE)


def test_only_what_has_ended_and_whose_steps_ran_is_success() -> None:
    ran, skipped = StepSeen("RUN", "CC 0000"), StepSeen("RUN", "FLUSH")
    assert judge("J", Seen("OUTPUT", "CC 0004", (ran,)), 4, ("RUN",)) == 4
    assert judge("J", Seen("OUTPUT", "CC 0000"), 0, ("RUN",)) == 0
    for seen in (
        Seen("OUTPUT", "CC 0000", (skipped,)),
        Seen("OUTPUT", "CC 0000", (StepSeen("X", "CC 0000"),)),
    ):
        with pytest.raises(TargetError, match="was not run"):
            judge("J", seen, 4, ("RUN",))
    with pytest.raises(TargetError, match="not known"):
        judge("J", Seen("ACTIVE", "CC 0000", (ran,)), 4)


@pytest.mark.parametrize(
    "url",
    ["http://zos.example.org", "https://user@zos.example.org", "ftp://zos", "zos.example.org", "https://"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError):
        Access(url, "IBMUSER", "secret").connect()


def test_a_password_is_in_no_message(zos: Zos, tmp_path: Path) -> None:
    wrong = zosmf(zos, password="PASSWORDCANARY")
    with pytest.raises(PolicyError) as error:
        run(wrong, job(STEP), tmp_path)
    assert "CANARY" not in f"{error.value}{error.value.__cause__}"


def test_the_names_of_data_sets_are_checked_before_anything_is_asked(zos: Zos, tmp_path: Path) -> None:
    transport: Zosmf = zosmf(zos)
    for name in ("a.b", "A..B", "A/../B", "A(B", ""):
        with pytest.raises(ConfigError):
            transport.get(name, tmp_path / "x")
