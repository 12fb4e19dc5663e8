"""Arguments that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


Target = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET",
        help="A target of mlship.toml, or local; TARGET/SERVICE for one service. Without it: the only one.",
        autocompletion=complete.targets,
        show_default=False,
    ),
]
Bundle = Annotated[
    str | None,
    typer.Argument(
        metavar="REF",
        help="NAME:TAG or NAME@sha256:..., after REGISTRY/ if need be. Without it: the last build.",
        autocompletion=complete.bundles,
        show_default=False,
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
    typer.Argument(
        metavar="REGISTRY",
        help="A registry of mlship.toml, or a URL. Without it: the default one.",
        autocompletion=complete.registries,
        show_default=False,
    ),
]
NearRegistry = Annotated[
    str | None,
    typer.Argument(
        metavar="REGISTRY",
        help="A registry of mlship.toml, or a URL. Without it: the default one and this project's builds.",
        autocompletion=complete.registries,
        show_default=False,
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
