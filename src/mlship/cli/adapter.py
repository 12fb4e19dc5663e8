"""Verbs that adapters bring as data, made into commands: mlship ADAPTER VERB."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from mlship.cli.group import adapter_line
from mlship.cli.run import Run
from mlship.cli.verb import Call, group, verb
from mlship.result import Result
from mlship.target.verbs import Asked, Option, Verb, verbs_of


def group_of(adapter: str) -> Callable[[], None]:
    """The group of an adapter's verbs, as `group` makes those of our own."""
    verbs = verbs_of(adapter)

    def named() -> None: ...

    named.__name__, named.__doc__ = adapter, adapter_line(adapter)
    examples = "\n".join(inspect.cleandoc(each.examples).splitlines()[0] for each in verbs)
    return group(examples, **{each.name: _command(each) for each in verbs})(named)


def _command(data: Verb) -> Callable[..., Call]:
    def called(run: Run, **values: Any) -> Result | None:
        from mlship.cli.render import show_at_once

        return data.call(Asked(values, partial(show_at_once, run), run.progress, run.timeout))

    keyword = inspect.Parameter.KEYWORD_ONLY
    first = inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Run)
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            first,
            *(
                inspect.Parameter(o.name, keyword, annotation=_kind(o), default=_default(o))
                for o in data.options
            ),
        ]
    )
    called.__name__, called.__doc__ = data.name.replace("-", "_"), data.text
    return verb(data.examples)(called)


def _kind(option: Option) -> Any:
    kind: Any = list[option.kind] if option.several else option.kind  # type: ignore[name-defined]
    if option.default is None or (option.several and option.default is not ...):
        kind = kind | None
    shown = option.default is not None and not option.several
    if option.positional:
        return Annotated[kind, typer.Argument(metavar=option.metavar, help=option.help, show_default=shown)]
    words = "--" + option.name.replace("_", "-")
    return Annotated[kind, typer.Option(words, metavar=option.metavar, help=option.help, show_default=shown)]


def _default(option: Option) -> Any:
    return inspect.Parameter.empty if option.default is ... else option.default
