"""The passphrase of a private key: from a file or the environment, never from the command line."""

from __future__ import annotations

from pathlib import Path

from mlship.config.settings import key_passphrase
from mlship.errors import UsageError


def read_passphrase(file: Path | None) -> bytes | None:
    """The first line of `file`, else MLSHIP_KEY_PASSPHRASE, else None. Raises UsageError if it is empty or
    cannot be read."""
    if file is None:
        text = key_passphrase()
        if text is None:
            return None
        passphrase, place = text.encode("utf-8", "surrogateescape"), "MLSHIP_KEY_PASSPHRASE"
    else:
        try:
            passphrase, place = (file.read_bytes().splitlines() or [b""])[0], str(file)
        except OSError as error:
            raise UsageError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
    if not passphrase:
        raise UsageError(f"the passphrase in {place} is empty", fix="Write one there, or give none at all")
    return passphrase
