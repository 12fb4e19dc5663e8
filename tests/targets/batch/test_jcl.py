"""What is written as JCL is read by the emulator as what was meant; what cannot be written is refused."""

from __future__ import annotations

import itertools
import string
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zos import Zos, completions

from mlship.errors import ConfigError
from mlship_batch.emulator.jcl.conditions import Ended
from mlship_batch.emulator.jcl.dd import Dd as Read
from mlship_batch.emulator.jcl.job import Job, read_job
from mlship_batch.jcl import checked
from mlship_batch.jcl.shell import Command, script
from mlship_batch.jcl.template import USUAL, read_card
from mlship_batch.jcl.values import (
    CodeTest,
    Dd,
    If,
    InStream,
    JobText,
    New,
    Nothing,
    Records,
    Space,
    Step,
    Sysout,
    Use,
    space_for,
    steps_of,
)  # fmt: skip
from mlship_batch.jcl.write import jcl
from mlship_batch.names import DataSetName

FIRST, REST = string.ascii_uppercase + "@#$", string.ascii_uppercase + "@#$" + string.digits
PLAIN = string.ascii_letters + string.digits + " .,:;/()*+-=_'%?<>\"@#$"
names = st.builds("{}{}".format, st.sampled_from(FIRST), st.text(REST, max_size=7))
dsns = st.lists(names, min_size=1, max_size=5).map(".".join).filter(lambda text: len(text) <= 44)
data_sets = st.one_of(
    st.builds(DataSetName, dsns),
    st.builds(DataSetName, dsns, member=names),
    st.builds(DataSetName, dsns, relative=st.integers(-20, 20)),
)
lines = st.text(string.printable[:95], max_size=80).map(str.rstrip)
formats = st.one_of(
    st.builds(Records, st.just("FB"), st.integers(1, 32756)),
    st.builds(Records, st.just("VB"), st.integers(5, 32756)),
    st.just(Records("U")),
)
dds = st.one_of(
    st.builds(InStream, st.lists(lines, max_size=4).map(tuple)),
    st.builds(Sysout, st.sampled_from("*AH9")),
    st.just(Nothing()),
    st.builds(Use, data_sets, st.sampled_from(["SHR", "OLD", "MOD"]), st.sampled_from(["KEEP", "DELETE"])),
    st.builds(New, st.builds(DataSetName, dsns), formats,
              st.builds(Space, st.integers(1, 999), st.integers(0, 99)),
              st.sampled_from(["CATLG", "KEEP", "PASS", "DELETE"]), st.booleans()),
)  # fmt: skip
operators = st.sampled_from(["GT", "GE", "EQ", "LT", "LE", "NE"])


@st.composite
def jobs(draw: Any) -> JobText:
    found = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    tests = st.builds(CodeTest, st.sampled_from(found), operators, st.integers(0, 4095))
    steps = []
    for name in found:
        inside = draw(st.dictionaries(names, st.lists(dds, min_size=1, max_size=2).map(tuple), max_size=3))
        bypass = tuple(draw(st.lists(tests, max_size=8)))
        parm = draw(st.text(PLAIN, max_size=100))
        steps.append(Step(name, draw(names), tuple(inside.items()), parm, bypass))
    parts: list[Any] = list(steps)
    if len(steps) > 2 and draw(st.booleans()):
        given_tests = tuple(draw(st.lists(tests, min_size=1, max_size=4)))
        parts = [steps[0], If(given_tests, (steps[1],), tuple(steps[2:]))]
    restart = draw(st.sampled_from(["", *found]))
    return JobText(draw(names), draw(names), tuple(parts), restart=restart)


def same(meant: Dd, read: Read) -> None:
    if isinstance(meant, InStream):
        assert read.data is not None
        assert [line.rstrip() for line in read.data] == [line.rstrip() for line in meant.lines]
    elif isinstance(meant, Sysout):
        assert read.sysout == meant.output
    elif isinstance(meant, Nothing):
        assert read.dummy
    elif isinstance(meant, Use):
        assert (read.dsn, read.disp.status, read.disp.normal) == (meant.dsn, meant.how, meant.after)
    else:
        shape, space = read.format, read.space
        assert shape is not None
        assert space is not None
        assert (read.dsn, read.disp.status, read.disp.normal, read.disp.abnormal) == (
            meant.dsn, "NEW", meant.after, "DELETE",
        )  # fmt: skip
        assert (shape.recfm, shape.lrecl, shape.dsorg) == (
            meant.records.recfm, meant.records.lrecl, "PO" if meant.partitioned else "PS",
        )  # fmt: skip
        assert space.primary >= meant.space.primary * 56664
        assert space.secondary >= meant.space.secondary * 56664


def read(text: str) -> Job:
    return read_job(text.splitlines(), {"SYSUID": "IBMUSER"})


@settings(max_examples=20)
@given(jobs())
def test_what_is_written_is_read_as_what_was_meant(meant: JobText) -> None:
    check(meant)


@pytest.mark.faults
@settings(max_examples=400)
@given(jobs())
def test_many_are_read_as_what_was_meant(meant: JobText) -> None:
    check(meant)


@pytest.mark.parametrize("quotes", ["'", "''", "'''''", "' '"])
def test_quotes_are_read_wherever_a_card_ends(quotes: str) -> None:
    for before in range(100 - len(quotes)):
        parm = "x" * before + quotes + "y" * (100 - len(quotes) - before)
        check(JobText("J", "T", (Step("LONGNAME", "PROGRAM1", parm=parm, bypass=(CodeTest("A", "GT", 4),)),)))


def check(meant: JobText) -> None:
    text = jcl(meant)
    assert all(len(line) <= 80 and line.isascii() for line in text.splitlines())
    job = read(text)
    assert (job.name, job.restart, job.correlator) == (meant.name, meant.restart, meant.token)
    for step, found in zip(steps_of(meant.parts), job.steps, strict=True):
        assert (found.name, found.program, found.parm) == (step.name, step.program, step.parm)
        flat = [(name if at == 0 else "", dd) for name, parts in step.dds for at, dd in enumerate(parts)]
        assert [dd.name for dd in found.dds] == [name for name, _ in flat]
        for (_, dd), there in zip(flat, found.dds, strict=True):
            same(dd, there)


TURNS: dict[str, Any] = {
    "GT": int.__gt__, "GE": int.__ge__, "EQ": int.__eq__, "LT": int.__lt__, "LE": int.__le__,
    "NE": int.__ne__,
}  # fmt: skip


@pytest.mark.parametrize("operator", TURNS)
def test_cond_and_if_mean_the_same(operator: Any) -> None:
    for code, seen in itertools.product((0, 4, 8), repeat=2):
        test = CodeTest("A", operator, code)
        first, ended = Step("A", "IEFBR14"), {"A": Ended(seen)}
        bypassed = read(jcl(JobText("J", "T", (first, Step("B", "IEFBR14", bypass=(test,))))))
        guarded = read(jcl(JobText("J", "T", (first, If((test,), (Step("B", "IEFBR14"),))))))
        holds = TURNS[operator](seen, code)
        assert bypassed.steps[1].cond.bypasses(ended, False) == holds
        assert guarded.steps[1].guards[0].lets(ended) == holds


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Step("lower", "A"),
        lambda: Step("A", "TOOLONGNAME"),
        lambda: Step("A", "B", parm="x" * 101),
        lambda: Step("A", "B", parm="A&B"),
        lambda: Step("A", "B", parm="new\nline"),
        lambda: Step("A", "B", parm="[brackets]"),
        lambda: Step("A", "B", dds=(("D", (Nothing(),)), ("D", (Nothing(),)))),
        lambda: Step("A", "B", dds=(("D", ()),)),
        lambda: Step("A", "B", bypass=(CodeTest("", "EQ", 4),)),
        lambda: InStream(("x" * 81,)),
        lambda: InStream(("\N{LATIN SMALL LETTER U WITH DIAERESIS}",)),
        lambda: Sysout("**"),
        lambda: Records("FB", 0),
        lambda: Records("VB", 32757),
        lambda: Space(0, 1),
        lambda: CodeTest("A", "EQ", 4096),
        lambda: checked.data_set("A.B\n//X"),
        lambda: checked.path("/u/a;rm -rf"),
        lambda: checked.path("/u/../etc"),
        lambda: checked.path("relative"),
        lambda: JobText("J", "T", ()),
        lambda: JobText("J", "t", (Step("A", "B"),)),
        lambda: JobText("J", "T", (Step("A", "B"), Step("A", "C"))),
        lambda: JobText("J", "T", (Step("A", "B"),), restart="C"),
        lambda: jcl(JobText("J", "T", (Step("A", "B", dds=(("D", (InStream(
            ("@@", "##", "$$", "ZZ", "QQ", "XX", "YY")),)),)),))),
        lambda: space_for(1 << 40, Records("FB", 80)),
        lambda: script(()),
        lambda: script((Command("A", ("true",)), Command("A", ("true",)))),
        lambda: script((Command("A", ("true",), bypass=(CodeTest("B", "GT", 0),)),)),
        lambda: Command("A", ("a\nb",)),
        lambda: Command("A", ()),
        lambda: Command("A", ("a",), {"not a name": ""}),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        wrong()


def test_the_site_s_card_is_taken_over_with_the_correlator() -> None:
    template = (
        "//{job}  JOB ({account},'ROOM 7'),'ML, MODELS',CLASS=A,\n"
        "//            NOTIFY=&SYSUID\n//* OURS\n/*JOBPARM SYSAFF=*\n// SET HLQ=ML\n"
    )
    card = read_card(template, {"job": "SCORE", "account": "ACC-1"})
    text = jcl(JobText("SCORE", "T0K3N", (Step("A", "B"),), card, restart="A"))
    assert text.splitlines()[1:5] == [
        "//   RESTART=A,UJOBCORR=T0K3N", "//* OURS", "/*JOBPARM SYSAFF=*", "// SET HLQ=ML",
    ]  # fmt: skip
    assert read(text).correlator == "T0K3N"
    assert (
        read(jcl(JobText("J", "T", (Step("A", "B"),), read_card(USUAL, {"job": "J", "account": "1"})))).name
        == "J"
    )


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("", 1),
        ("//* first\n//{job} JOB\n", 1),
        ("//OTHER JOB\n", 1),
        ("//{job} JOB {nobody}\n", 1),
        ("//{job} JOB (A),UJOBCORR=X\n", 1),
        ("//{job} JOB (A),TYPRUN=SCAN\n", 1),
        ("//{job} JOB (A\n", 1),
        ("//{job} JOB 'A\n", 1),
        ("//{job} JOB (A),\n", 1),
        ("//{job} JOB A;B\n", 1),
        ("//{job} JOB " + "A" * 80 + "\n", 1),
        ("//{job} JOB (A)\n//S EXEC PGM=A\n", 2),
        ("//{job} JOB (A)\n//X DD DSN=A\n", 2),
        ("//{job} JOB (A)\nplain\n", 2),
        ("//{job} JOB (A)\n//* \N{LATIN SMALL LETTER U WITH DIAERESIS}\n", 2),
    ],
)
def test_a_card_that_cannot_be_used_names_its_line(template: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"line {line} "):
        read_card(template, {"job": "SCORE", "account": "ACC"})


def test_a_field_cannot_bring_a_statement_with_it() -> None:
    with pytest.raises(ConfigError):
        read_card(USUAL, {"job": "SCORE", "account": "A)\n//X EXEC PGM=B"})


@pytest.mark.parametrize(
    ("size", "records", "tracks"),
    [
        (0, Records("FB", 80), 1),
        (2 * 27920, Records("FB", 80), 1),
        (2 * 27920 + 1, Records("FB", 80), 2),
        (1_000_000 * 200, Records("FB", 200), 3598),
        (32756, Records("FB", 32756), 1),
        (5 * 27998, Records("VB", 304), 3),
    ],
)
def test_space_by_the_size_of_the_data(size: int, records: Records, tracks: int) -> None:
    assert space_for(size, records).primary == tracks


def test_a_written_job_runs(zos: Zos) -> None:
    """Made, filled, read with a condition, and a step left out."""
    new = New(DataSetName("ML.NEW"), Records("FB", 80), space_for(160, Records("FB", 80)))
    copy = (
        ("SYSPRINT", (Sysout(),)),
        ("SYSUT2", (new,)),
        ("SYSUT1", (InStream(("ONE",)), InStream(("/* TWO",)))),
    )
    bad = Step("BAD", "IDCAMS", (("SYSIN", (InStream((" SET MAXCC = 4",)),)),))
    skipped = Step("SKIPPED", "IEFBR14", bypass=(CodeTest("BAD", "GE", 4),))
    after = If((CodeTest("BAD", "LE", 4), CodeTest("COPY", "EQ", 0)), (Step("AFTER", "IEFBR14"),))
    text = jcl(JobText("J", "TOKEN1", (Step("COPY", "IEBGENER", copy), bad, skipped, after)))
    done = zos.run(text)
    assert completions(done) == [
        ("COPY", "CC 0000"),
        ("BAD", "CC 0004"),
        ("SKIPPED", "FLUSH"),
        ("AFTER", "CC 0000"),
    ]
    assert (zos.get("ML.NEW"), done["job-correlator"].endswith(":TOKEN1")) == (b"ONE\n/* TWO\n", True)


@pytest.mark.parametrize("restart", ["", "B"])
def test_a_shell_form_decides_as_jcl_does(restart: str, tmp_path: Any) -> None:
    steps = (
        Command("A", ("sh", "-c", 'echo it\\\'s "$V"; exit 4'), {"V": "a $HOME"}),
        Command("B", ("sh", "-c", "exit 99"), bypass=(CodeTest("A", "GT", 4),)),
        Command("C", ("true",), bypass=(CodeTest("A", "EQ", 4),)),
        Command("D", ("true",), bypass=(CodeTest("", "GT", 4),)),
        Command("E", ("kill-that-is-no-command",), bypass=(CodeTest("C", "EQ", 0),)),
    )
    done = subprocess.run(["sh", "-c", script(steps, restart)], capture_output=True, text=True)
    first = "it's a $HOME\nA 4\nB 15\nC FLUSH\n" if not restart else "A FLUSH\nB 15\nC 0\n"
    rest = "D FLUSH\nE 15\n" if not restart else "D FLUSH\nE FLUSH\n"
    assert (done.stdout, done.returncode) == (first + rest, 15)
