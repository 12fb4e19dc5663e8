"""The top-level command: knows all verbs by name and one line, and imports the one that is used. Adapters
bring verbs of their own."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from mlship.cli.catalogue import MODULES, SECTIONS, function_of
from mlship.errors import UsageError

WIDTH = max(map(len, MODULES))  # the sections line up
_ALIKE = 0.7  # from here on two words are one, mistyped


class Verbs(TyperGroup):
    """typer would build every verb's parameters for the top-level help; this group builds none for it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*MODULES, *adapters_with_verbs()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load(cmd_name) if cmd_name in MODULES or cmd_name in adapters_with_verbs() else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in MODULES and not ctx.resilient_parsing and args[0] not in adapters_with_verbs():
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], known, n=1, cutoff=_ALIKE)
            fix = f"Did you mean {near[0]}?" if near else "mlship --help lists the commands"
            raise UsageError(f"there is no command {args[0]!r}", fix=fix)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for section in SECTIONS:
            with formatter.section(section.title):
                formatter.write_dl([(verb.ljust(WIDTH), line) for verb, line in section.verbs.items()])
        if adapters := adapters_with_verbs():
            with formatter.section("Adapters"):
                formatter.write_dl([(name.ljust(WIDTH), adapter_line(name)) for name in adapters])


def load(verb: str) -> Any:
    """The command of one verb, with its examples below the options; of a group, that of all its verbs."""
    function, parts = _function(verb), parts_of(verb)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    for name, part in (parts or {verb: function}).items():
        app.command(name, epilog=_epilog(part))(part)
    if parts:
        app.callback(epilog=_epilog(function))(function)
    return typer.main.get_command(app)


def parts_of(verb: str) -> dict[str, Any]:
    """The verbs of a group by their names; empty for any other verb."""
    return getattr(_function(verb), "verbs", {})


def adapters_with_verbs() -> list[str]:
    """The adapters that bring verbs (mlship.target.verbs); a verb of our own goes before one of that name.

    Read from the files: importlib.metadata alone would take a quarter of the time that the help has.
    """
    found: set[str] = set()
    for folder in filter(None, sys.path):
        with suppress(OSError):  # a path may be an archive, or nothing
            for entry in os.scandir(folder):
                if entry.name.endswith("-info"):
                    found |= _named_in(os.path.join(entry.path, "entry_points.txt"))  # noqa: PTH118
    return sorted(found - MODULES.keys())


def _named_in(file: str) -> set[str]:
    """The names in the section of adapters' verbs."""
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123
            section = opened.read().partition("[mlship.verbs]")[2].partition("\n[")[0]
    except (OSError, UnicodeDecodeError):
        return set()
    return {line.partition("=")[0].strip() for line in section.splitlines() if "=" in line}


def adapter_line(name: str) -> str:
    """What the overview says of an adapter that brings verbs; it is not imported for that."""
    return f"What targets of type {name} have besides."


def _function(verb: str) -> Any:
    if verb not in MODULES:
        from mlship.cli.adapter import group_of

        return group_of(verb)
    return getattr(importlib.import_module(MODULES[verb]), function_of(verb))


def _epilog(function: Any) -> str:
    examples = "\n".join("  " + line for line in function.examples.splitlines())
    return f"\b\nExamples:\n{examples}"


def application() -> typer.Typer:
    """The whole program."""
    app = typer.Typer(
        cls=Verbs,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=True,
        no_args_is_help=True,
    )
    app.callback()(mlship)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mlship {version('mlship-toolchain')}")
        raise typer.Exit


def mlship(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
    ),
) -> None:
    """Ship a trained model once, prove it where it runs.

    First steps: mlship init, mlship build, mlship deploy local.

    TARGET comes first, then the bundle: mlship deploy prod churn:1.4.
    Without a bundle it is the one that this project builds; without TARGET
    it is the only one in mlship.toml.
    """
