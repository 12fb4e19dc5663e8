"""`boot.py records --job FILE`: files of records without a model. On a host it checks what was delivered.

The job is JSON: {"schemaVersion": 1, "verb": "convert", "job": {…, as of `score`}}, or
{"schemaVersion": 1, "verb": "check", "input": "/…", "form": {…, as in records/form.py}, "totals": "/…"};
`packages` lists folders in which NumPy and the like are, where this Python has them not. The answer is a line
of JSON, on standard output or where `--say` says. The exit code of `check` is 0, or 8 if anything is wrong.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput, RuntimeFault, SiteError
from mlship_runtime.supervision.control import fault_data

WRONG = 8


class _NoModel(NamedTuple):
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


def main(job_file: str, say: str = "") -> int:
    """Do the job and tell how it went; returns the exit code."""
    try:
        answer = _answer(_read(job_file))
    except RuntimeFault as fault:
        _tell({"ok": False, "error": fault_data(fault)}, say)
        return fault.exit_code
    _tell({"ok": True, "report": answer}, say)
    return WRONG if answer.get("problem") or answer.get("fields") or answer.get("differences") else 0


def _read(job_file: str) -> Mapping[str, Any]:
    try:
        document = json.loads(Path(job_file).read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"the job {job_file} cannot be read", cause=str(error)) from error
    if not isinstance(document, dict) or document.get("schemaVersion") != 1:
        raise BadInput("the job is not an object with schemaVersion 1")
    packages = document.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(path, str) for path in packages):
        raise BadInput("the job's packages are no list of folders", field="packages")
    sys.path[:0] = packages
    return document


def _answer(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        import numpy  # noqa: F401  what follows needs it, and says less clearly that it is not there
    except ImportError as error:
        fix = "pip install 'mlship-toolchain[serve]', or name the folder where it is"
        raise SiteError("records need NumPy, which is not there", cause=str(error), fix=fix) from error
    if document.get("verb") == "convert":
        return _convert(document.get("job"))
    if document.get("verb") != "check":
        raise BadInput(f"there is no {document.get('verb')!r} of records")
    from mlship_runtime.records.form import form_of
    from mlship_runtime.scoring.record_check import checked

    form, path = document.get("form"), document.get("input")
    if not isinstance(form, dict) or not isinstance(path, str):
        raise BadInput("the job names no input, or no form of records")
    return checked(path, form_of(form), str(document.get("totals", "")))


def _convert(words: Any) -> dict[str, Any]:
    from mlship_runtime.scoring.borrowed import borrow
    from mlship_runtime.scoring.forms import scorer_for
    from mlship_runtime.scoring.job import PARQUET, job_of
    from mlship_runtime.scoring.opening import opened, settled, titles_of
    from mlship_runtime.scoring.part import take_stdout
    from mlship_runtime.scoring.run import Run
    from mlship_runtime.scoring.workers import Alone

    stdout = take_stdout()
    job, nothing = job_of(words), _NoModel()
    if PARQUET in (job.inputFormat, job.outputFormat):
        borrow("pyarrow", job.packages)
    job = settled(job, nothing)
    opening = opened(job, nothing)
    titles = titles_of(job, nothing, opening)
    run = Run(job, "", opening.source, titles, opening.ignored, stdout)
    run.check_free()
    scorer = scorer_for(job, nothing, opening.header, lambda columns: {})
    run.run(Alone(scorer))
    return run.report


def _tell(message: Mapping[str, Any], say: str) -> None:
    line = json.dumps(message).encode() + b"\n"
    os.write(int(say) if say else 1, line)
