"""Show a result: the JSON envelope, or blocks drawn for a terminal or as plain text."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from mlship.cli.blocks import Block
from mlship.cli.run import Run
from mlship.cli.terminal import fancy
from mlship.result import Envelope, ErrorInfo, Result, to_json

View = Callable[[Any], Iterable[Block]]
# Results that look better than their fields say: class name -> where in this package.
VIEWS: dict[str, str] = {
    "Started": "views:started",
    "PipelineMade": "views:pipeline",
    "LockReport": "views:locked",
    "BuildReport": "views:built",
    "Inspected": "views:inspected",
    "Checked": "views:checked",
    "SignedBundle": "views:signed",
    "KeyMade": "views:key_made",
    "TokenMade": "token_views:token_made",
    "TokenList": "token_views:token_list",
    "KeyShown": "views:key_shown",
    "Exported": "exchange_views:exported",
    "Imported": "exchange_views:imported",
    "ImportedProject": "exchange_views:project",
    "BuiltImage": "image_views:built",
    "PushedImage": "image_views:pushed",
    "SavedImage": "image_views:saved",
    "ShownImage": "image_views:shown",
    "VerifiedImage": "image_views:verified",
    "Difference": "exchange_views:different",
    "Listing": "views:listing",
    "Copied": "views:copied",
    "Tagged": "views:tagged",
    "LoggedIn": "views:logged_in",
    "LoggedOut": "views:logged_out",
    "Mirrored": "registry_views:mirrored",
    "TagHistory": "registry_views:moved",
    "Promoted": "registry_views:promoted",
    "Untagged": "registry_views:untagged",
    "Swept": "registry_views:swept",
    "FsckReport": "registry_views:checked",
    "PolicyShown": "policy_views:shown",
    "PolicySet": "policy_views:was_set",
    "Explained": "policy_views:explained",
    "Audited": "policy_views:audited",
    "PlanReport": "target_views:planned",
    "DeployReport": "target_views:deployed",
    "Status": "target_views:state",
    "History": "target_views:told",
    "Answer": "target_views:answered",
    "Scored": "score_views:scored",
    "Described": "records_views:described",
    "Written": "records_views:written",
    "Converted": "records_views:converted",
    "CheckedRecords": "records_views:checked",
    "Logs": "target_views:lines",
    "Opened": "target_views:tunnel",
    "Unlocked": "target_views:unlocked",
    "MachineKeys": "machines_views:machine_keys",
    "Destroyed": "target_views:destroyed",
    "Diagnosis": "target_views:diagnosed",
}


def show(run: Run, result: Result | None) -> None:
    """Print `result` (None = nothing to say) and, on stderr, the warnings."""
    if run.json:
        print_envelope(run, run.exit_code, result=result)
        return
    for warning in run.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if result is None:
        return
    if fancy(sys.stdout):
        from mlship.cli import render_rich

        render_rich.draw(_blocks(result))
    else:
        from mlship.cli import render_plain

        sys.stdout.write(render_plain.draw(_blocks(result)))


def as_text(result: Result) -> str:
    """What a command prints of `result` where nothing can be drawn."""
    from mlship.cli import render_plain

    return render_plain.draw(_blocks(result)).rstrip("\n")


def summarize(run: Run, result: Result | None) -> None:
    """Add `result` to the summary, if there is to be one."""
    if run.summary is not None and result is not None:
        from mlship.cli.summary import tell

        tell(run, _blocks(result))


def show_at_once(run: Run, result: Result) -> None:
    """Print what a command that goes on has to say first: with --json as an object of its own; the envelope
    comes when it ends."""
    if run.json:
        sys.stdout.write(to_json(result).decode() + "\n")
    else:
        show(run, result)
    sys.stdout.flush()


def print_envelope(
    run: Run, code: int, *, result: Result | None = None, error: ErrorInfo | None = None
) -> None:
    """The one JSON object of a run with --json."""
    envelope = Envelope(
        command=run.command,
        ok=error is None,
        exit_code=code,
        result=result,
        error=error,
        warnings=tuple(run.warnings),
    )
    sys.stdout.write(to_json(envelope, indent=sys.stdout.isatty()).decode() + "\n")
    sys.stdout.flush()


def _blocks(result: Result) -> Iterable[Block]:
    place = VIEWS.get(type(result).__name__, "render_any:blocks")
    module, _, name = place.partition(":")
    view: View = getattr(importlib.import_module(f"mlship.cli.{module}"), name)
    return view(result)
