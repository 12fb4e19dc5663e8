"""Write docs/reference/ from the code: the command line, mlship.toml, policy.toml, exit codes, and the
bundle format.

python docs/generate.py            writes the pages
python docs/generate.py --check    ends with 1, and names them, if pages are not what it would write
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import bundle_format
import msgspec

import mlship
from mlship import errors, ops
from mlship.api.bundles import Bundles
from mlship.api.images import Images
from mlship.api.project import Project
from mlship.api.registries import Registries
from mlship.api.targets import Targets
from mlship.bundle.spec_form import json_schema
from mlship.cli.catalogue import SECTIONS
from mlship.cli.group import adapters_with_verbs, application, load, parts_of
from mlship.config.external import External
from mlship.config.limits import RequestLimits, ServingLimits
from mlship.config.load import NAMED, SINGLE
from mlship.config.sections import Section, TargetSection, Tolerance
from mlship.config.settings import VARIABLES
from mlship.trust.policy import RULES, Head

REFERENCE = Path(__file__).parent / "reference"
WIDTH = "80"
NOTE = "<!-- made by docs/generate.py; `make docs` writes it anew -->\n"

MEANINGS = {
    0: "done",
    1: "unexpected, or `doctor` found something wrong on this machine",
    2: "the command line, `mlship.toml` or the input is wrong",
    3: "changes are pending, or bundles differ (`plan` and `diff` with `--detailed-exitcode`)",
    4: "the bundle is invalid or unverified, or the project cannot be made into one",
    5: "the registry",
    6: "the target",
    7: "another deploy holds the lock",
    8: "the candidate was not healthy; the old release serves",
    9: "refused by policy",
    10: "waiting; it goes on with `--continue`",
    11: "not healthy and not restored: a person is needed",
    130: "interrupted (Ctrl-C)",
    141: "nobody reads the output any more (a closed pipe)",
}


def cli_page() -> str:
    """Help of the program and of each verb, word for word."""
    from typer import main as typer_main

    top = typer_main.get_command(application())
    parts = ["# Command line\n", _help(top, "mlship")]
    sections = {section.title: list(section.verbs) for section in SECTIONS}
    for title, verbs in {**sections, "Adapters": adapters_with_verbs()}.items():
        parts.append(f"## {title}\n")
        for verb in verbs:
            parts += [f"### mlship {verb}\n", _help(load(verb), f"mlship {verb}")]
            for name in parts_of(verb):
                inner = load(verb).commands[name]
                parts += [f"#### mlship {verb} {name}\n", _help(inner, f"mlship {verb} {name}")]
    return _page(parts)


def _help(command: Any, name: str) -> str:
    text = command.get_help(command.context_class(command, info_name=name))
    return f"```text\n{text.rstrip()}\n```\n"


def config_page() -> str:
    """The commented example, section by section, with types and defaults; and the environment."""
    text = (files("mlship.config") / "example.toml").read_text(encoding="utf-8")
    parts = [
        "# mlship.toml\n",
        "One example of everything that can be said. Only `[project]` with `name` and `[model]` with `source`"
        " must be there.\n",
    ]
    for name, block in _blocks(text).items():
        shape = SINGLE.get(name) or NAMED[name]
        title = name if name in SINGLE else f"{name}.NAME"
        parts += [f"## [{title}]\n", f"```toml\n{block.strip()}\n```\n", _keys(shape)]
    parts += ["### tolerance\n", _keys(Tolerance)]
    rows = [(f"`{name}`", meaning) for name, meaning in VARIABLES.items()]
    parts += [
        "## Environment\n",
        "Each setting of the user is a variable.\n",
        _table(("variable", "what"), rows),
    ]
    return _page(parts)


def policy_page() -> str:
    """policy.toml: the commented example, and its keys."""
    text = (files("mlship.trust") / "example_policy.toml").read_text(encoding="utf-8")
    parts = [
        "# policy.toml\n",
        "One example of everything that can be said; [how to use it](../how-to/domains.md).\n",
        f"```toml\n{text.strip()}\n```\n",
        "## At the top\n",
        _keys(Head),
    ]
    for name, shape in RULES.items():
        parts += [f"## [{name}.NAME]\n", _keys(shape)]
    return _page(parts)


def _blocks(text: str) -> dict[str, str]:
    """Each section's part of the example, with the comments above it."""
    found: dict[str, str] = {}
    for part in re.split(r"\n\n+(?=(?:#[^\n]*\n)*\[)", text.strip()):
        name = part.partition("\n[")[2] or part.removeprefix("[")
        name = re.split(r"[].]", name)[0]
        found[name] = f"{found[name]}\n\n{part}" if name in found else part
    return found


def _keys(shape: type[Section]) -> str:
    fields = [
        field for field in msgspec.structs.fields(shape) if (shape, field.name) != (TargetSection, "settings")
    ]
    rows = [(f"`{field.encode_name}`", _type(field.type), _default(field)) for field in fields]
    return _table(("key", "type", "default"), rows)


_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    types.NoneType: "",
    Tolerance: "tolerance",
    RequestLimits: "table of limits",
    ServingLimits: "table of limits",
    External: "table",
    Any: "anything",
}


def _type(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        limits = [meta for meta in inner[1:] if isinstance(meta, msgspec.Meta)]
        return _type(inner[0]) + "".join(_limits(meta) for meta in limits)
    if origin is typing.Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(filter(None, map(_type, inner)))
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"table of {_type(inner[1])}"
    return _WORDS[kind]


def _limits(meta: msgspec.Meta) -> str:
    if meta.title:
        return f" `{meta.title}`"
    bounds = [str(bound) for bound in (meta.ge, meta.le) if bound is not None]
    return f", {bounds[0]} to {bounds[1]}" if len(bounds) == 2 else f", from {bounds[0]}" if bounds else ""


def _default(field: Any) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, Tolerance):
        return f"`{{ abs = {value.abs:g}, rel = {value.rel:g} }}`"
    if value in (None, (), {}, RequestLimits(), ServingLimits()):
        return "-"
    return f"`{json.dumps(value)}`"


def exit_codes_page() -> str:
    """Every code that mlship ends with, and the errors that it stands for."""
    kinds: dict[int, list[str]] = {}
    for error in _family(errors.MlshipError):
        kinds.setdefault(error.exit_code, []).append(f"`{error.kind}`")
    codes = sorted({*kinds, *MEANINGS})
    rows = [(str(code), MEANINGS[code], ", ".join(kinds.get(code, []))) for code in codes]
    return _page(
        [
            "# Exit codes\n",
            "With `--json`, the envelope has the number as `exitCode`; an error's `kind` says more.\n",
            _table(("code", "meaning", "kinds of errors"), rows),
        ]
    )


def _family(kind: type[errors.MlshipError]) -> Iterator[type[errors.MlshipError]]:
    if kind.__module__ == errors.__name__:
        yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def _table(header: tuple[str, ...], rows: list[Any]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def _page(parts: list[str]) -> str:
    return NOTE + "\n".join(["", *parts])


def python_page() -> str:
    """What `import mlship` has: each verb's signature and what it says of itself, and what it returns."""
    parts = [
        "# Python\n",
        "The verbs of the [command line](cli.md) as functions of `mlship`, about the project that the current"
        " folder is in, and as methods of `mlship.Project`. [How to use them](../how-to/notebook.md).\n",
        "## Project\n",
        f"```python\nclass Project{_signature(Project)}\n```\n",
        f"{inspect.getdoc(Project)}\n",
    ]
    for room in (Bundles, Registries, Targets, Images):
        parts += [
            f"## {(sys.modules[room.__module__].__doc__ or '').rstrip('.')}\n",
            f"{inspect.getdoc(room)}\n",
        ]
        for name, method in vars(room).items():
            if name in mlship.__all__:
                parts += [
                    f"### mlship.{name}\n",
                    f"```python\n{name}{_signature(method)}\n```\n",
                    f"{inspect.getdoc(method)}\n",
                    _returned(method),
                ]
    return _page(parts)


def _signature(function: Any) -> str:
    """One parameter a line if one line is too long."""
    text = re.sub(r"""(: |-> )(["'])(.+?)\2(?=,| =|\)|$)""", r"\1\3", str(inspect.signature(function)))
    text = text.replace("(self, ", "(").replace("(self)", "()")
    if len(text) <= 100:
        return text
    inside, _, after = text.removeprefix("(").rpartition(")")
    return "(\n" + "".join(f"    {part},\n" for part in re.split(r", (?![^\[]*\])", inside)) + f"){after}"


def _returned(method: Any) -> str:
    """The fields of what a verb gives."""
    given = inspect.signature(method).return_annotation
    names = [found.name for found in pkgutil.iter_modules(ops.__path__)]
    modules = [importlib.import_module(f"mlship.ops.{name}") for name in names]
    shape = next(vars(module)[given] for module in modules if given in vars(module))
    fields = ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(shape))
    return f"Returns `{given}`: {fields}. {inspect.getdoc(shape)}\n"


def bundle_format_page() -> str:
    """Manifest, layers, mlship.json and the file of an export."""
    return _page(bundle_format.parts(_table))


def bundle_schema() -> str:
    """The JSON schema of mlship.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "bundle-format.md": bundle_format_page,
    "cli.md": cli_page,
    "config.md": config_page,
    "exit-codes.md": exit_codes_page,
    "mlship.schema.json": bundle_schema,
    "policy.md": policy_page,
    "python.md": python_page,
}


def main(arguments: list[str]) -> int:
    os.environ["COLUMNS"] = WIDTH
    wrong = []
    for name, make in PAGES.items():
        path, text = REFERENCE / name, make()
        if arguments == ["--check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                wrong.append(f"docs/reference/{name}")
        else:
            REFERENCE.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if wrong:
        print(f"not up to date: {', '.join(wrong)}. Run: python docs/generate.py")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
