"""COBOL on the emulator: compiled, linked and run by jobs, with fixed and variable data sets."""

from __future__ import annotations

import pytest
from zos import Zos, completions

SOURCE = """\
       IDENTIFICATION DIVISION.
       PROGRAM-ID. TOTAL.
       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT INP ASSIGN TO INP.
           SELECT OUTP ASSIGN TO OUTP.
       DATA DIVISION.
       FILE SECTION.
       FD  INP RECORDING MODE F.
       01  IN-REC.
           05  IN-KEY    PIC X(4).
           05  IN-AMOUNT PIC S9(7)V99 COMP-3.
       FD  OUTP RECORDING MODE V
           RECORD IS VARYING IN SIZE FROM 1 TO 20 DEPENDING ON LEN.
       01  OUT-REC       PIC X(20).
       WORKING-STORAGE SECTION.
       01  LEN    PIC 9(4) COMP-5 VALUE 0.
       01  TOTAL  PIC S9(9)V99 COMP-3 VALUE 0.
       01  SHOWN  PIC -(9)9.99.
       01  BAD    PIC 9 VALUE 0.
       01  DONE   PIC 9 VALUE 0.
       PROCEDURE DIVISION.
           OPEN INPUT INP OUTPUT OUTP.
           PERFORM UNTIL DONE = 1
             READ INP AT END MOVE 1 TO DONE
             NOT AT END
               IF IN-AMOUNT NOT NUMERIC MOVE 1 TO BAD
               ELSE
                 ADD IN-AMOUNT TO TOTAL
                 ADD 4 TO LEN
                 MOVE IN-KEY TO OUT-REC
                 WRITE OUT-REC
               END-IF
             END-READ
           END-PERFORM.
           CLOSE INP OUTP.
           MOVE TOTAL TO SHOWN.
           DISPLAY "TOTAL " SHOWN.
           IF BAD = 1 MOVE 8 TO RETURN-CODE.
           STOP RUN.
"""
BUILD = f"""\
//BUILD JOB (A)
//LIB EXEC PGM=IEFBR14
//NEW DD DSN=ML.LOAD,DISP=(NEW,CATLG),SPACE=(TRK,(30,30,5)),RECFM=U
//COMP EXEC PGM=IGYCRCTL
//SYSPRINT DD SYSOUT=*
//SYSLIN DD DSN=&&OBJ,DISP=(NEW,PASS),SPACE=(CYL,(1,1)),RECFM=FB,LRECL=80
//SYSIN DD *
{SOURCE}/*
//LINK EXEC PGM=IEWL,COND=(4,LT)
//SYSLIN DD DSN=&&OBJ,DISP=(OLD,DELETE)
//SYSLMOD DD DSN=ML.LOAD(TOTAL),DISP=SHR
"""
RUN = """\
//GO JOB (A)
//GO EXEC PGM=TOTAL
//STEPLIB DD DSN=ML.LOAD,DISP=SHR
//SYSOUT DD SYSOUT=*
//INP DD DSN=ML.IN,DISP=SHR
//OUTP DD DSN=ML.OUT,DISP=(NEW,CATLG,DELETE),SPACE=(TRK,1),
//  RECFM=VB,LRECL=24
"""


def packed(cents: int) -> bytes:
    return bytes.fromhex(f"{abs(cents):09d}{'D' if cents < 0 else 'C'}")


@pytest.mark.usefixtures("cobol")
def test_compile_link_and_go(zos: Zos) -> None:
    built = zos.run(BUILD)
    steps = [("LIB", "CC 0000"), ("COMP", "CC 0000"), ("LINK", "CC 0000")]
    assert completions(built) == steps, zos.spool(built, "SYSPRINT")
    zos.create("ML.IN", recfm="FB", lrecl=9)
    rows = [("AAAA", 12345), ("BBBB", -345), ("CCCC", 100)]
    zos.put("ML.IN", b"".join(key.encode("cp037") + packed(cents) for key, cents in rows), "binary")
    done = zos.run(RUN)
    assert done["retcode"] == "CC 0000", zos.spool(done, "SYSOUT")
    assert zos.spool(done, "SYSOUT").split() == ["TOTAL", "121.00"]
    out = zos.get("ML.OUT", "record")
    assert [out[0:4], out[8:12], out[20:24]] == [b"\0\0\0\4", b"\0\0\0\x08", b"\0\0\0\x0c"]
    assert out[4:8].decode("cp037") == "AAAA"
    zos.run("//D JOB (A)\n//D EXEC PGM=IEFBR14\n//X DD DSN=ML.OUT,DISP=(OLD,DELETE)\n")
    zos.put("ML.IN", b"\xc1" * 4 + b"\xff" * 5, "binary")
    assert zos.run(RUN)["retcode"] == "CC 0008"


@pytest.mark.usefixtures("cobol")
def test_what_does_not_compile_ends_with_12_and_nothing_is_linked(zos: Zos) -> None:
    built = zos.run(BUILD.replace("STOP RUN.", "STOPP RUN NOW."))
    assert completions(built)[1:] == [("COMP", "CC 0012"), ("LINK", "FLUSH")]


def test_a_program_that_dies_abends(zos: Zos) -> None:
    zos.create("ML.LOAD", dsorg="PO", recfm="U", lrecl=0, primary=5, secondary=5)
    zos.put("ML.LOAD(DIES)", b"#!/bin/sh\nkill -SEGV $$\n", "binary")
    job = "//J JOB (A)\n//JOBLIB DD DSN=ML.LOAD,DISP=SHR\n//A EXEC PGM=DIES\n"
    assert zos.run(job)["retcode"] == "ABEND S0C4"
    zos.put("ML.LOAD(DIES)", b"not a program", "binary")
    assert zos.run(job)["retcode"] == "ABEND S806"


def test_a_file_cut_within_a_record_abends(zos: Zos) -> None:
    zos.create("ML.LOAD", dsorg="PO", recfm="U", lrecl=0, primary=5, secondary=5)
    zos.put("ML.LOAD(CUTS)", b'#!/bin/sh\nprintf 12345 > "$DD_OUT"\n', "binary")
    step = "//A EXEC PGM=CUTS\n//OUT DD DSN=ML.X,DISP=(NEW,CATLG,DELETE),SPACE=(TRK,1),LRECL=9\n"
    assert zos.run(f"//J JOB (A)\n//JOBLIB DD DSN=ML.LOAD,DISP=SHR\n{step}")["retcode"] == "ABEND S001"
    assert zos.names("ML") == ["ML.LOAD"]
