"""Verbs about container images, which are named as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.api.call import Calls, File

if TYPE_CHECKING:
    from mlship.ops.image_build import BuiltImage
    from mlship.ops.image_copy import PushedImage, SavedImage
    from mlship.ops.image_verify import ShownImage, VerifiedImage


class Images(Calls):
    """`image` is FOLDER, FOLDER:TAG, or HOST/NAME:TAG in a registry."""

    def build_image(
        self,
        ref: str | None = None,
        *,
        base: str | None = None,
        platforms: Sequence[str] = (),
        profile: str = "oci",
        output: str | None = None,
        push: str | None = None,
    ) -> BuiltImage:
        """Make a container image of a bundle, without an engine: in the folder `output`, or as `push` in a
        registry. Raises UsageError for a base that does not fit, RegistryError, BundleError."""
        from mlship.ops import image_build as op

        with self._call() as ctx:
            return op.build_image(
                ctx, ref, base=base, platforms=platforms, profile=profile, output=output, push=push
            )

    def push_image(self, image: str, to: str) -> PushedImage:
        """Copy an image to a registry or folder, under the same digest. Raises RegistryError."""
        from mlship.ops import image_copy as op

        with self._call() as ctx:
            return op.push_image(ctx, image, to)

    def save_image(self, image: str, file: File, *, platform: str | None = None) -> SavedImage:
        """Write an image to a file that docker load and podman load take. Raises RegistryError."""
        from mlship.ops import image_copy as op

        with self._call() as ctx:
            return op.save_image(ctx, image, Path(file), platform)

    def inspect_image(self, image: str) -> ShownImage:
        """What an image says of itself; nothing is checked. Raises RegistryError."""
        from mlship.ops import image_verify as op

        with self._call() as ctx:
            return op.inspect_image(ctx, image)

    def verify_image(
        self,
        image: str,
        *,
        keys: Sequence[str] = (),
        base: str | None = None,
        platforms: Sequence[str] = (),
    ) -> VerifiedImage:
        """Prove from the image alone that it is a bundle's; that one of `keys` has signed it; that it was put
        on `base`. Raises BundleError for the first thing that is not so."""
        from mlship.ops import image_verify as op

        with self._call() as ctx:
            return op.verify_image(ctx, image, keys, base=base, platforms=platforms)
