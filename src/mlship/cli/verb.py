"""The decorator that makes a function a verb: the switches that all have, and its examples in the help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mlship.cli.run import Run
from mlship.errors import UsageError
from mlship.result import Result

Verb = Callable[..., Result | None]
Call = Callable[[], Result | None]


def _switch(words: str, meaning: str, variable: str) -> Any:
    return Annotated[bool, typer.Option(*words.split(), help=meaning, envvar=variable, show_envvar=False)]


_LIMIT = typer.Option(
    "--timeout",
    metavar="SECONDS",
    help="Give up after this time.",
    envvar="MLSHIP_TIMEOUT",
    show_envvar=False,
)
_SUMMARY = typer.Option(
    "--summary",
    metavar="FILE",
    help="Add what happened to FILE, as Markdown.",
    envvar="MLSHIP_SUMMARY",
    show_envvar=False,
)
COMMON = {
    "as_json": _switch("--json", "Print one JSON object.", "MLSHIP_JSON"),
    "quiet": _switch("--quiet -q", "Show no progress.", "MLSHIP_QUIET"),
    "debug": _switch("--debug", "Show where an error came from.", "MLSHIP_DEBUG"),
    "timeout": Annotated[float | None, _LIMIT],
}
SUMMARY = {"summary": Annotated[Path | None, _SUMMARY]}
_WITHOUT = ("timeout", "summary")  # these have no value if nothing is said


def verb(examples: str, *, summary: bool = False) -> Callable[[Verb], Callable[..., Call]]:
    """Make `function(run, ...)` a verb, with --summary if `summary`: where its result matters to a pipeline.
    What typer calls returns the call to be made, not yet its result."""
    switches = SUMMARY | COMMON if summary else COMMON

    def decorate(function: Verb) -> Callable[..., Call]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def command(context: typer.Context, **values: Any) -> Call:
            run: Run = context.obj
            run.command = context.command_path.partition(" ")[2]
            run.json, run.quiet = values.pop("as_json"), values.pop("quiet")
            run.debug, run.timeout = values.pop("debug"), values.pop("timeout")
            if run.timeout is not None and not run.timeout > 0:
                raise UsageError("--timeout is a time in seconds", fix="Give it a number above 0")
            run.summary = _checked(values.pop("summary", None))
            return partial(function, run, **values)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("context", keyword, annotation=typer.Context),
            *(parameter.replace(kind=keyword) for parameter in own),
            *(
                inspect.Parameter(name, keyword, annotation=kind, default=None if name in _WITHOUT else False)
                for name, kind in switches.items()
            ),
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__name__ = function.__name__
        command.__doc__ = function.__doc__
        command.examples = inspect.cleandoc(examples)  # type: ignore[attr-defined]
        return command

    return decorate


def _checked(summary: Path | None) -> Path | None:
    if summary is not None:
        from mlship.cli.summary import check

        check(summary)
    return summary


def group(examples: str, **verbs: Callable[..., Call]) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make `function()`, which does nothing itself, a group of `verbs` by their names."""

    def decorate(function: Callable[[], None]) -> Callable[[], None]:
        function.examples = inspect.cleandoc(examples)  # type: ignore[attr-defined]
        function.verbs = verbs  # type: ignore[attr-defined]
        return function

    return decorate
