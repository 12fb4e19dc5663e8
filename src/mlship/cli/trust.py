"""Verbs about keys and signatures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Bundle, PassphraseFile
from mlship.result import Result


class KeyAction(StrEnum):
    """What to do with a key."""

    generate = "generate"
    show = "show"


@verb("""
    mlship key generate release.key
    mlship key show release.pub
""")
def key(
    run: Run,
    action: Annotated[KeyAction, typer.Argument(help="generate or show.", metavar="ACTION")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key's file.")],
    passphrase_file: PassphraseFile = None,
) -> Result:
    """Make a key pair, or show whose a key file is.

    generate writes the private key to FILE, which only its owner can read, and the public one beside it,
    ending in .pub. Nothing is overwritten. show prints the id and the public part of either.
    """
    from mlship.ops import key as op

    if action is KeyAction.generate:
        return op.generate(file, passphrase_file)
    return op.show(run.context, file, passphrase_file)


@verb("""
    mlship sign --key release.key
    mlship sign churn:1.4 --key release.key
    mlship sign team/churn@sha256:1f0c... --key release.key
""")
def sign(
    run: Run,
    *,
    bundle: Bundle = None,
    key_file: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key.")],
    passphrase_file: PassphraseFile = None,
) -> Result:
    """Sign a bundle with a private key.

    All of it is read and checked first. The signature is kept beside the bundle, whose digest stays as it
    is, and goes with it: push and pull copy it.
    """
    from mlship.ops import sign as op

    return op.sign(run.context, bundle, key_file, passphrase_file)
