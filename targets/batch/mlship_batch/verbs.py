"""The verbs of `mlship batch`, as data."""

from __future__ import annotations

from pathlib import Path

from mlship.result import Result
from mlship.target.verbs import Asked, Option, Verb


def _emulate(asked: Asked) -> Result | None:
    from mlship_batch.emulator.command import emulate

    return emulate(asked)


def _submit(asked: Asked) -> Result | None:
    from mlship_batch.submit import submit

    return submit(asked)


EMULATOR = Verb(
    "emulator",
    """Run a z/OSMF with JES and data sets on this machine, until Ctrl-C.

    Jobs really run: IEFBR14, IDCAMS, IEBGENER, BPXBATCH, COBOL by GnuCOBOL, and programs from load libraries.
    It listens on the loopback address only. With --json its address and user are one object.
    """,
    """
    mlship batch emulator --folder zos
    mlship batch emulator --folder zos --port 10443 --user IBMUSER --password-file password
    mlship batch emulator --folder zos --faults faults.json --json
    """,
    _emulate,
    (
        Option("folder", Path, "Where everything is kept; made if it is not there.", metavar="DIR"),
        Option("port", int, "0 takes a free one.", 0),
        Option("user", str, "Who may come in.", "IBMUSER", metavar="NAME"),
        Option(
            "password_file", Path, "The password; without it one is made and shown.", None, metavar="FILE"
        ),
        Option("certificate", Path, "Speak TLS with this certificate (PEM).", None, metavar="FILE"),
        Option("key", Path, "The certificate's key, where it is in a file of its own.", None, metavar="FILE"),
        Option("capacity", int, "Bytes that all data sets together may have.", 1 << 34, metavar="BYTES"),
        Option("faults", Path, "A script of what shall go wrong (JSON).", None, metavar="FILE"),
    ),
)

SUBMIT = Verb(
    "submit",
    """Run a job on a z/OSMF host, once, and end with an error if it failed.

    It is waited for, judged, and all that it wrote is kept. When the command is killed, or gives up waiting
    (exit 10), the same command goes on with the same job. The password is in a file, not on the command line.
    """,
    """
    mlship batch submit score.jcl --url https://zos.example.org:10443 --user IBMUSER --password-file password
    mlship batch submit score.jcl --url https://zos --user IBMUSER --password-file password --max-rc 0 --json
    """,
    _submit,
    (
        Option("file", Path, "The job, as JCL.", metavar="JCL", positional=True),
        Option("url", str, "Where z/OSMF is: https://HOST[:PORT]; http for this machine only."),
        Option("user", str, "As whom.", metavar="NAME"),
        Option("password_file", Path, "The password is its first line.", metavar="FILE"),
        Option("ca", Path, "Authorities to trust, instead of the system's (PEM).", None, metavar="FILE"),
        Option("max_rc", int, "The largest return code that is no failure.", 4, metavar="CODE"),
        Option("spool", Path, "What the job wrote is kept here.", Path("spool"), metavar="DIR"),
        Option("wait", float, "How long it may take, in seconds.", 3600.0, metavar="SECONDS"),
    ),
)

VERBS = (EMULATOR, SUBMIT)
