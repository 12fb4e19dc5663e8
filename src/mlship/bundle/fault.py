"""Where the ground floor's faults become mlship's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlship.errors import BundleError
from mlship_runtime.bundle.manifest import Descriptor
from mlship_runtime.errors import InvalidBundle


@contextmanager
def as_bundle_error() -> Iterator[None]:
    """Let InvalidBundle leave as BundleError (exit 4), word for word."""
    try:
        yield
    except InvalidBundle as fault:
        raise BundleError(fault.what, cause=fault.cause, fix=fault.fix) from fault


@contextmanager
def damage_placed(url: str, blob: Descriptor) -> Iterator[None]:
    """Say of damage where it lies: a blob that is there is not sent again, so it has to go first."""
    try:
        yield
    except (InvalidBundle, BundleError) as fault:
        raise BundleError(
            f"{blob.title or 'the config'} in {url} is damaged: {fault.what}",
            cause=fault.cause,
            fix=f"Remove {blob.digest} there, then build, push or pull it again from where it is whole",
        ) from fault
