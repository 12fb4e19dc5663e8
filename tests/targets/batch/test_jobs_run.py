"""Jobs that run on the emulator: what conditions, dispositions, generations and abends make of them."""

from __future__ import annotations

import pytest
from zos import JOBS, Zos, completions

HEAD = "//J JOB (A),'ME'\n"
GDG = (
    HEAD + "//D EXEC PGM=IDCAMS\n//SYSIN DD *\n DEFINE GDG (NAME(ML.G) LIMIT({limit}) NOEMPTY SCRATCH)\n/*\n"
)


def exits(name: str, code: int, more: str = "") -> str:
    """A step that ends with CC code, which SET MAXCC of IDCAMS gives exactly."""
    return f"//{name} EXEC PGM=IDCAMS{more}\n//SYSIN DD *\n SET MAXCC = {code}\n/*\n"


def abends(name: str, more: str = "") -> str:
    return f"//{name} EXEC PGM=MISSING{more}\n"


def writes(name: str, dsn: str, text: str, disp: str = "(NEW,CATLG,DELETE)") -> str:
    return (
        f"//{name} EXEC PGM=IEBGENER\n//SYSPRINT DD SYSOUT=*\n//SYSUT1 DD *\n{text}\n"
        f"//SYSUT2 DD DSN={dsn},DISP={disp},\n//  SPACE=(TRK,(1,1)),RECFM=FB,LRECL=80\n"
    )


@pytest.mark.parametrize(
    ("steps", "retcode", "ran"),
    [
        (exits("A", 0) + exits("B", 4), "CC 0004", "CC 0000,CC 0004"),
        (exits("A", 8) + exits("B", 0), "CC 0008", "CC 0008,CC 0000"),
        (exits("A", 8) + exits("B", 0, ",COND=(4,LT)"), "CC 0008", "CC 0008,FLUSH"),
        (exits("A", 4) + exits("B", 0, ",COND=(4,LT)"), "CC 0004", "CC 0004,CC 0000"),
        (exits("A", 8) + exits("B", 0, ",COND=(8,EQ,A)"), "CC 0008", "CC 0008,FLUSH"),
        (exits("A", 8) + exits("B", 0, ",COND=((4,LT,A),EVEN)"), "CC 0008", "CC 0008,FLUSH"),
        (abends("A") + exits("B", 0), "ABEND S806", "ABEND S806,FLUSH"),
        (abends("A") + exits("B", 0, ",COND=EVEN"), "ABEND S806", "ABEND S806,CC 0000"),
        (abends("A") + exits("B", 0, ",COND=ONLY"), "ABEND S806", "ABEND S806,CC 0000"),
        (exits("A", 0) + exits("B", 0, ",COND=ONLY"), "CC 0000", "CC 0000,FLUSH"),
        (exits("A", 4) + "// IF A.RC > 0 THEN\n" + exits("B", 0) + "// ELSE\n" + exits("C", 0) + "// ENDIF\n",
         "CC 0004", "CC 0004,CC 0000,FLUSH"),
        (exits("A", 4) + "// IF (A.RC = 0 | RC GE 8) &\n//  ¬ABEND THEN\n" + exits("B", 0) + "// ENDIF\n",
         "CC 0004", "CC 0004,FLUSH"),
        (abends("A") + "// IF ABEND THEN\n" + exits("B", 0) + "// ENDIF\n", "ABEND S806",
         "ABEND S806,CC 0000"),
        (abends("A") + "// IF ABENDCC = S806 THEN\n" + exits("B", 0) + "// ENDIF\n", "ABEND S806",
         "ABEND S806,CC 0000"),
        (exits("A", 0) + "// IF B.RUN THEN\n" + exits("C", 0) + "// ENDIF\n", "CC 0000", "CC 0000,FLUSH"),
    ],
)  # fmt: skip
def test_conditions(zos: Zos, steps: str, retcode: str, ran: str) -> None:
    document = zos.run(HEAD + steps)
    assert (document["retcode"], ",".join(how for _, how in completions(document))) == (retcode, ran)


def test_steps_without_a_name_count_as_well(zos: Zos) -> None:
    steps = exits("", 8).replace("// EXEC", "//  EXEC") + exits("", 0).replace("// EXEC", "//  EXEC")
    assert zos.run(HEAD + steps)["retcode"] == "CC 0008"
    assert zos.run(HEAD + exits("A", 8) + exits("A", 0))["retcode"] == "CC 0008"


def test_restart_begins_at_its_step(zos: Zos) -> None:
    document = zos.run("//J JOB (A),RESTART=B\n" + exits("A", 12) + exits("B", 4))
    assert (document["retcode"], completions(document)) == ("CC 0004", [("A", "FLUSH"), ("B", "CC 0004")])


@pytest.mark.parametrize(("code", "kept"), [(0, 0), (3, 768), (15, 3840), (16, 0), (255, 3840)])
def test_a_shell_s_exit_code_comes_256_fold_and_loses_its_upper_bits(zos: Zos, code: int, kept: int) -> None:
    document = zos.run(HEAD + f"//S EXEC PGM=BPXBATCH,PARM='SH exit {code}'\n//STDERR DD SYSOUT=*\n")
    assert document["retcode"] == f"CC {kept:04d}"


def test_a_data_set_is_there_after_a_good_step_and_gone_after_an_abend(zos: Zos) -> None:
    assert zos.run(HEAD + writes("A", "ML.GOOD", "ONE"))["retcode"] == "CC 0000"
    bad = "//S EXEC PGM=MISSING\n//OUT DD DSN=ML.BAD,DISP=(NEW,CATLG,DELETE),SPACE=(TRK,1)\n"
    assert zos.run(HEAD + bad)["retcode"] == "ABEND S806"
    assert zos.names("ML") == ["ML.GOOD"]
    assert zos.run(HEAD + writes("A", "ML.GOOD", "TWO"))["retcode"] == "JCL ERROR"
    assert zos.get("ML.GOOD") == b"ONE\n"
    assert zos.run(HEAD + writes("A", "ML.GOOD", "TWO", "(MOD,CATLG)"))["retcode"] == "CC 0000"
    assert zos.get("ML.GOOD") == b"ONE\nTWO\n"
    assert (
        zos.run(HEAD + "//S EXEC PGM=IEFBR14\n//D DD DSN=ML.GOOD,DISP=(OLD,DELETE)\n")["retcode"] == "CC 0000"
    )
    assert zos.names("ML") == []


def test_a_job_that_names_what_is_not_there_does_not_run_that_step_nor_those_after(zos: Zos) -> None:
    missing = "//B EXEC PGM=IEFBR14\n//D DD DSN=ML.NONE,DISP=SHR\n"
    document = zos.run(HEAD + exits("A", 0) + missing + exits("C", 0))
    assert (document["retcode"], completions(document)) == (
        "JCL ERROR",
        [("A", "CC 0000"), ("B", "JCL ERROR")],
    )
    assert "IEF212I ML.NONE" in zos.spool(document, "JESYSMSG")


def test_generations_are_the_same_in_one_job_and_move_between_jobs(zos: Zos) -> None:
    assert zos.run(GDG.format(limit=2))["retcode"] == "CC 0000"
    twice = writes("A", "ML.G(+1)", "FIRST") + "//B EXEC PGM=IEBGENER\n//SYSPRINT DD SYSOUT=*\n" + (
        "//SYSUT1 DD DSN=ML.G(+1),DISP=SHR\n//SYSUT2 DD SYSOUT=*\n"
    )  # fmt: skip
    document = zos.run(HEAD + twice)
    assert (document["retcode"], zos.spool(document, "SYSUT2")) == ("CC 0000", "FIRST\n")
    zos.run(HEAD + writes("A", "ML.G(+1)", "SECOND"))
    assert zos.get("ML.G(0)") == b"SECOND\n"
    assert zos.get("ML.G(-1)") == b"FIRST\n"
    zos.run(HEAD + writes("A", "ML.G(+1)", "THIRD"))
    assert zos.names("ML.G.*") == ["ML.G.G0002V00", "ML.G.G0003V00"]


def test_a_generation_of_a_step_that_abends_is_not_rolled_in(zos: Zos) -> None:
    zos.run(GDG.format(limit=2))
    zos.run(HEAD + writes("A", "ML.G(+1)", "FIRST"))
    bad = "//S EXEC PGM=MISSING\n//OUT DD DSN=ML.G(+1),DISP=(NEW,CATLG,DELETE),SPACE=(TRK,1)\n"
    assert zos.run(HEAD + bad)["retcode"] == "ABEND S806"
    assert zos.names("ML.G.*") == ["ML.G.G0001V00"]
    assert zos.run(HEAD + writes("A", "ML.G(+1)", "SECOND"))["retcode"] == "CC 0000"
    assert zos.names("ML.G.*") == ["ML.G.G0001V00", "ML.G.G0002V00"]


def test_kept_and_not_cataloged_a_generation_waits_for_rollin(zos: Zos) -> None:
    zos.run(GDG.format(limit=3))
    zos.run(HEAD + writes("A", "ML.G(+1)", "LATER", "(NEW,KEEP)"))
    assert zos.names("ML.G.*") == []
    alter = HEAD + "//A EXEC PGM=IDCAMS\n//SYSIN DD *\n ALTER ML.G.G0001V00 ROLLIN\n/*\n"
    assert zos.run(alter)["retcode"] == "CC 0000"
    assert zos.get("ML.G(0)") == b"LATER\n"


def test_a_group_with_generations_is_only_deleted_by_force(zos: Zos) -> None:
    zos.run(GDG.format(limit=3))
    zos.run(HEAD + writes("A", "ML.G(+1)", "ONE"))
    delete = HEAD + "//A EXEC PGM=IDCAMS\n//SYSIN DD *\n DELETE ML.G GDG{}\n/*\n"
    assert zos.run(delete.format(""))["retcode"] == "CC 0008"
    assert zos.run(delete.format(" FORCE"))["retcode"] == "CC 0000"
    assert zos.names("ML") == []


def test_temporary_data_sets_are_passed_on_and_go_with_the_job(zos: Zos) -> None:
    document = zos.run(
        HEAD + writes("A", "&&T", "PASSED", "(NEW,PASS)") + "//B EXEC PGM=IEBGENER\n//SYSPRINT DD SYSOUT=*\n"
        "//SYSUT1 DD DSN=&&T,DISP=(OLD,DELETE)\n//SYSUT2 DD SYSOUT=*\n"
    )
    assert (document["retcode"], zos.spool(document, "SYSUT2")) == ("CC 0000", "PASSED\n")
    assert list(zos.emulator.catalog.root.iterdir()) == []


@pytest.mark.parametrize(
    ("space", "code"),
    [("(TRK,(1,0))", "ABEND SD37"), ("(TRK,(1,1))", "CC 0000"), ("(100,(1,0))", "ABEND SD37")],
)
def test_what_does_not_fit_abends(zos: Zos, space: str, code: str) -> None:
    rows = "\n".join(["ROW"] * 800)  # 64000 bytes
    step = "//A EXEC PGM=IEBGENER\n//SYSPRINT DD SYSOUT=*\n//SYSUT1 DD *\n" + rows + "\n"
    out = f"//SYSUT2 DD DSN=ML.X,DISP=(NEW,CATLG,DELETE),SPACE={space},\n//  RECFM=FB,LRECL=80\n"
    assert zos.run(HEAD + step + out)["retcode"] == code
    assert zos.names("ML") == (["ML.X"] if code == "CC 0000" else [])


def test_idcams_remembers_its_worst_code(zos: Zos) -> None:
    cards = " DELETE ML.NONE\n IF LASTCC = 8 THEN SET MAXCC = 0\n"
    assert zos.run(HEAD + f"//A EXEC PGM=IDCAMS\n//SYSIN DD *\n{cards}/*\n")["retcode"] == "CC 0000"
    assert zos.run(HEAD + "//A EXEC PGM=IDCAMS\n//SYSIN DD *\n DELETE ML.NONE\n/*\n")["retcode"] == "CC 0008"
    assert zos.run(HEAD + "//A EXEC PGM=IDCAMS\n//SYSIN DD *\n NONSENSE X\n/*\n")["retcode"] == "CC 0016"


def test_repro_copies_between_record_lengths_only_where_they_fit(zos: Zos) -> None:
    zos.create("ML.V", recfm="VB", lrecl=40)
    cards = " REPRO INFILE(IN) OUTFILE(OUT) COUNT(1)\n"
    data = "//IN DD *\nLINE 1\nLINE 2\n/*\n//OUT DD DSN={},DISP=OLD\n"
    step = f"//A EXEC PGM=IDCAMS\n{data}//SYSIN DD *\n{cards}/*\n"
    assert zos.run(HEAD + step.format("ML.V"))["retcode"] == "CC 0008"
    zos.create("ML.W", recfm="VB", lrecl=84)
    assert zos.run(HEAD + step.format("ML.W"))["retcode"] == "CC 0000"
    assert zos.get("ML.W") == b"LINE 1\n"


def test_two_jobs_that_write_one_data_set_do_so_after_each_other(zos: Zos) -> None:
    zos.create("ML.SEQ")
    waits = "//A EXEC PGM=BPXBATCH,PARM='SH while [ ! -e go ]; do sleep 0.02; done'\n"
    slow = f"{HEAD}{waits}//D DD DSN=ML.SEQ,DISP=OLD\n"
    first = zos.submit(slow)
    second = zos.submit("//K JOB (A)\n" + writes("A", "ML.SEQ", "LAST", "OLD"))
    refused = zos.put("ML.SEQ", b"HTTP\n")
    assert (refused.status, "in use" in refused.json["details"][0]) == (500, True)
    (zos.emulator.home / "go").touch()
    assert zos.ended(first)["retcode"] == zos.ended(second)["retcode"] == "CC 0000"
    assert zos.get("ML.SEQ") == b"LAST\n"


def test_cancelled_held_and_released(zos: Zos) -> None:
    running = zos.submit(HEAD + "//A EXEC PGM=BPXBATCH,PARM='SH sleep 600'\n")
    path = f"{JOBS}/J/{running['jobid']}"
    assert zos.call("PUT", path, {"request": "cancel", "version": "2.0"}).status == 200
    assert zos.ended(running)["retcode"] == "CANCELED"
    purged = zos.submit(HEAD + "//A EXEC PGM=BPXBATCH,PARM='SH sleep 600'\n")
    assert zos.call("DELETE", f"{JOBS}/J/{purged['jobid']}").status == 202
    assert zos.call("GET", f"{JOBS}/J/{purged['jobid']}").status == 400
    held = zos.submit("//H JOB (A),TYPRUN=HOLD\n" + exits("A", 0))
    assert (held["status"], held["phase"]) == ("INPUT", 130)
    assert zos.call("PUT", f"{JOBS}/H/{held['jobid']}", {"request": "release"}).status == 202
    assert zos.ended(held)["retcode"] == "CC 0000"


def test_jobs_survive_the_emulator_and_what_ran_failed_with_the_system(zos: Zos) -> None:
    from mlship_batch.emulator.run.record import Jobs

    document = zos.run(HEAD + exits("A", 4))
    jobs = zos.emulator.jes.jobs
    record = jobs.find("J", document["jobid"])
    again = Jobs(zos.emulator.options.folder / "jobs").find("J", document["jobid"])
    assert again is not None
    assert (again.retcode, again.correlator) == ("CC 0004", record.correlator)
    record.status = "ACTIVE"
    record.save()
    broken = Jobs(zos.emulator.options.folder / "jobs").find("J", document["jobid"])
    assert broken is not None
    assert (broken.status, broken.retcode) == ("OUTPUT", "SYS FAIL")
