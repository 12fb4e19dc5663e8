"""`mlship key`: make a key pair, and show whose a key file is."""

from __future__ import annotations

from pathlib import Path

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.result import Result


class KeyMade(Result, frozen=True, kw_only=True):
    """A new pair: `id` names the key, `private` is to be kept secret, `public` to be given away."""

    id: str
    private: str
    public: str
    encrypted: bool


class KeyShown(Result, frozen=True, kw_only=True):
    """A public key. `name` is what [trust] calls it, empty if it is not trusted here."""

    id: str
    file: str
    name: str
    revoked: bool
    pem: str


def generate(file: Path, passphrase_file: Path | None = None) -> KeyMade:
    """Make a key pair in `file` and beside it. Raises UsageError if a file is there already."""
    from mlship.trust.passphrase import read_passphrase
    from mlship.trust.private import generate_key, public_file

    passphrase = read_passphrase(passphrase_file)
    key = generate_key(file, passphrase)
    return KeyMade(
        id=key.id, private=str(file), public=str(public_file(file)), encrypted=passphrase is not None
    )


def show(ctx: Context, file: Path, passphrase_file: Path | None = None) -> KeyShown:
    """The key in `file`, public or private. Raises UsageError if it is none."""
    from mlship.trust.passphrase import read_passphrase
    from mlship.trust.roots import load_public_key, load_roots

    if _is_private(file):
        from mlship.trust.private import load_key

        key = load_key(file, read_passphrase(passphrase_file)).public
    else:
        key = load_public_key(file)
    roots = load_roots(ctx.project)
    return KeyShown(
        id=key.id,
        file=str(file),
        name=roots.name_of(key.id),
        revoked=key.id in roots.revoked,
        pem=key.pem.decode("ascii"),
    )


def _is_private(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return b"PRIVATE KEY" in opened.readline(200)
    except OSError as error:
        raise UsageError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
