"""Verbs about keeping bundles and naming them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.api.call import Calls, File, needs_yes

if TYPE_CHECKING:
    from mlship.ops.copy import Copied, Mirrored
    from mlship.ops.list import Listing
    from mlship.ops.promote import Promoted
    from mlship.ops.tag import Tagged
    from mlship.ops.untag import Untagged


class Registries(Calls):
    """A registry is a name in mlship.toml or a URL; None is the default one."""

    def list(self, place: str | None = None) -> Listing:
        """The bundles and tags of a registry, or of a bundle by its name. Raises RegistryError."""
        from mlship.ops import list as op

        with self._call() as ctx:
            return op.list_bundles(ctx, place)

    def push(
        self,
        ref: str | None = None,
        registry: str | None = None,
        *,
        tag: str | None = None,
        rate: float | None = None,
    ) -> Copied:
        """Copy a bundle to a registry, under `tag` or its own; at most `rate` bytes per second. Raises
        RegistryError, and PolicyError where it may not go."""
        from mlship.ops import push as op

        with self._call() as ctx:
            return op.push(ctx, ref, registry, tag=tag, rate=rate)

    def pull(
        self,
        ref: str,
        registry: str | None = None,
        *,
        platforms: Sequence[str] = (),
        rate: float | None = None,
    ) -> Copied:
        """Copy a bundle from a registry to this project; with `platforms`, for these alone. Raises as
        `push`."""
        from mlship.ops import pull as op

        with self._call() as ctx:
            return op.pull(ctx, ref, registry, platforms=platforms, rate=rate)

    def copy(self, what: str, registry: str, *, rate: float | None = None) -> Mirrored:
        """Copy a bundle, or all that a registry has tagged, to another registry. Raises as `push`."""
        from mlship.ops import copy as op

        with self._call() as ctx:
            return op.copy(ctx, what, registry, rate=rate)

    def tag(self, ref: str, new_tag: str) -> Tagged:
        """Give a bundle another tag; it moves if it is there. Raises RegistryError."""
        from mlship.ops import tag as op

        with self._call() as ctx:
            return op.tag(ctx, ref, new_tag)

    def untag(self, ref: str, *, yes: bool = False) -> Untagged:
        """Take a tag away, with `yes`; the bundle stays until mlship gc. Raises RegistryError."""
        from mlship.ops import untag as op

        needs_yes(f"removing the tag {ref}", yes=yes)
        with self._call() as ctx:
            return op.untag(ctx, ref)

    def promote(
        self,
        ref: str,
        tag: str,
        *,
        require: Sequence[str] = (),
        signed_by: Sequence[str] = (),
        key: File | None = None,
        passphrase_file: File | None = None,
    ) -> Promoted:
        """Move `tag` to a bundle that passes the gates in `require` (signature, parity, scan, quality), as
        `signed_by` asks. `key` is the file of the private key that attests the quality. Raises PolicyError or
        BundleError if it does not pass; then the tag stays."""
        from mlship.ops import promote as op

        with self._call() as ctx:
            return op.promote(
                ctx,
                ref,
                tag,
                require=require,
                signed_by=signed_by,
                key_file=Path(key) if key else None,
                passphrase_file=Path(passphrase_file) if passphrase_file else None,
            )
