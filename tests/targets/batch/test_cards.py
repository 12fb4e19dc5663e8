"""JCL as the converter reads it: columns, continuation, quotes, in-stream data, what is refused."""

from __future__ import annotations

import pytest

from mlship_batch.emulator.jcl.cards import JclError
from mlship_batch.emulator.jcl.job import Job, read_job

HEAD = "//J JOB (A),'ME'\n"


def read(text: str) -> Job:
    return read_job(text.splitlines(), {"SYSUID": "IBMUSER"})


def only_dd(text: str):
    return read(HEAD + "//S EXEC PGM=IEFBR14\n" + text).steps[0].dds[-1]


def test_a_statement_goes_on_after_a_comma_and_comments_are_no_operands() -> None:
    dd = only_dd(
        "//OUT DD DSN=A.B(+1),         the newest\n"
        "//    DISP=(NEW,CATLG,DELETE),SPACE=(TRK,(5,1)),\n"
        "//             RECFM=VB,LRECL=304   and so on\n"
    )
    assert (dd.dsn.dsn, dd.dsn.relative, dd.disp.abnormal) == ("A.B", 1, "DELETE")
    assert (dd.format.recfm, dd.format.lrecl, dd.space.primary) == ("VB", 304, 5 * 56664)


def test_quotes_go_on_at_column_16() -> None:
    long = "SH " + "x" * 80
    first = f"//S EXEC PGM=BPXBATCH,PARM='{long}"[:71]
    rest = f"//S EXEC PGM=BPXBATCH,PARM='{long}'"[71:]
    assert read(f"{HEAD}{first}\n//{' ' * 13}{rest}\n").steps[0].parm == long


def test_what_stands_behind_column_72_is_a_number() -> None:
    card = "//S EXEC PGM=IEFBR14".ljust(72) + "00000100"
    assert read(f"{HEAD}{card}\n").steps[0].program == "IEFBR14"


def test_a_quote_inside_quotes_is_doubled() -> None:
    assert read(HEAD + "//S EXEC PGM=X,PARM='it''s, (so) &SYSUID'\n").steps[0].parm == "it's, (so) IBMUSER"


@pytest.mark.parametrize(
    ("dd", "data", "after"),
    [
        ("*", "A\nB\n/*\n", ("A", "B")),
        ("*", "A\n", ("A",)),
        ("DATA", "//A DD *\n/*\n", ("//A DD *",)),
        ("DATA,DLM=@@", "/*\n//X\n@@\n", ("/*", "//X")),
        ("*,DLM='ZZ'", "//X\nZZ\n", ("//X",)),
    ],
)
def test_in_stream_data(dd: str, data: str, after: tuple[str, ...]) -> None:
    step = read(f"{HEAD}//S EXEC PGM=A\n//I DD {dd}\n{data}//T EXEC PGM=B\n").steps
    assert [line.rstrip() for line in step[0].dds[0].data] == list(after)
    assert step[1].program == "B"


@pytest.mark.parametrize(
    ("jcl", "card"),
    [
        ("//S EXEC PGM=A\n", 1),
        (HEAD, 1),
        (HEAD + "//S EXEC PROC\n", 2),
        (HEAD + "//S EXEC PGM=TOOLONGNAME\n", 2),
        (HEAD + "//S EXEX PGM=A\n", 2),
        (HEAD + "//S EXEC PGM=A,FOO=B\n", 2),
        (HEAD + "//S EXEC PGM=A,\n//X DD DUMMY\n", 2),
        (HEAD + "//S EXEC PGM=A,\n//                 COND=(0,NE)\n", 2),
        (HEAD + "//S EXEC PGM=A,PARM='B\n//     C'\n", 3),
        (HEAD + "//S EXEC PGM=A,COND=(0,NO)\n", 2),
        (HEAD + "//S EXEC PGM=A,COND=(4096,NE)\n", 2),
        (HEAD + "//S EXEC PGM=A,PARM='" + "x" * 20 + "\n", 2),
        (HEAD + "//S EXEC PGM=A\n//D DD DSN=A..B\n", 3),
        (HEAD + "//S EXEC PGM=A\n//D DD DSN=" + ".".join(["ABCDEFGH"] * 6) + "\n", 3),
        (HEAD + "//S EXEC PGM=A\n//D DD DSN=A,DISP=(NEW,KEPT)\n", 3),
        (HEAD + "//S EXEC PGM=A\n//D DD DSN=A,RECFM=FB,LRECL=80,BLKSIZE=100\n", 3),
        (HEAD + "//S EXEC PGM=A\n//D DD DSN=A,SPACE=(TRK,(A))\n", 3),
        (HEAD + "//D DD DSN=A\n//S EXEC PGM=A\n", 2),
        (HEAD + "// IF RC = 0 THEN\n//S EXEC PGM=A\n", 2),
        (HEAD + "// IF RC ? 0 THEN\n//S EXEC PGM=A\n// ENDIF\n", 2),
        (HEAD + "//S EXEC PGM=A\n// ENDIF\n", 3),
        ("//J JOB (A),RESTART=NONE\n//S EXEC PGM=A\n", 1),
        ("//J JOB (A),TYPRUN=NOW\n//S EXEC PGM=A\n", 1),
        (HEAD + "plain text\n", 2),
        (HEAD + "//S EXEC PGM=A" + " " * 70 + "\n", 2),
    ],
)
def test_what_is_a_jcl_error_at_which_card(jcl: str, card: int) -> None:
    with pytest.raises(JclError) as error:
        read(jcl)
    assert error.value.card == card
