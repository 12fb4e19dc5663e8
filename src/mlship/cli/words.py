"""Arguments that several verbs take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mlship.cli import complete
from mlship.config.sizes import bytes_of
from mlship.errors import UsageError


def _rate(text: str) -> float:
    """Bytes per second. Raises UsageError."""
    found = bytes_of(text)
    if not found:
        raise UsageError(f"{text!r} is no rate", fix="Write a size per second: 500kB, 5MB")
    return float(found)


def optional(metavar: str, meaning: str, known: Callable[..., Any]) -> Any:
    """An argument that may be left out, completed from what is `known`."""
    return typer.Argument(metavar=metavar, help=meaning, autocompletion=known, show_default=False)


Target = Annotated[
    str | None,
    optional(
        "TARGET",
        "A target of mlship.toml, or local; TARGET/SERVICE for one service. Without it: the only one.",
        complete.targets,
    ),
]
Bundle = Annotated[
    str | None,
    optional(
        "REF",
        "NAME:TAG or NAME@sha256:..., after REGISTRY/ if need be. Without it: the last build.",
        complete.bundles,
    ),
]
NamedBundle = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="NAME:TAG or NAME@sha256:..., after REGISTRY/ if need be.",
        autocompletion=complete.bundles,
    ),
]
Registry = Annotated[
    str | None,
    optional(
        "REGISTRY", "A registry of mlship.toml, or a URL. Without it: the default one.", complete.registries
    ),
]
NearRegistry = Annotated[
    str | None,
    optional(
        "REGISTRY",
        "A registry of mlship.toml, or a URL. Without it: the default one and this project's builds.",
        complete.registries,
    ),
]
Platforms = Annotated[
    list[str] | None,
    typer.Option(
        "--platform",
        metavar="PLATFORM",
        help="Only with the runtime of this platform, e.g. linux/amd64; can be repeated.",
        show_default=False,
    ),
]
LimitRate = Annotated[
    float | None,
    typer.Option(
        "--limit-rate",
        metavar="SIZE",
        help="Send no more than this per second, e.g. 5MB.",
        parser=_rate,
        show_default=False,
    ),
]
SignedBy = Annotated[
    list[str] | None,
    typer.Option(
        "--signed-by", metavar="KEY", help="By this key of [trust]; can be repeated.", show_default=False
    ),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Its first line is the key's passphrase. Without it: MLSHIP_KEY_PASSPHRASE, or none.",
        show_default=False,
    ),
]
ScanExcept = Annotated[
    list[str] | None,
    typer.Option(
        "--scan-except",
        metavar="PATTERN",
        help="Findings in these files do not count; can be repeated.",
        show_default=False,
    ),
]
Release = Annotated[
    int | None,
    typer.Option("--release", metavar="N", min=1, help="A release by its number.", show_default=False),
]
LockTimeout = Annotated[
    float,
    typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="Wait so long for another rollout to end."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def target_first(verb: str, target: str | None) -> str | None:
    """`target`, unless it is a bundle: then the order was wrong. Raises UsageError."""
    if target is not None and (":" in target or "@" in target):
        raise UsageError(
            f"{target} is a bundle, and the target comes first", fix=f"mlship {verb} TARGET {target}"
        )
    return target
