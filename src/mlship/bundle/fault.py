"""Where the ground floor's faults become mlship's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlship.errors import BundleError
from mlship_runtime.errors import InvalidBundle


@contextmanager
def as_bundle_error() -> Iterator[None]:
    """Let InvalidBundle leave as BundleError (exit 4), word for word."""
    try:
        yield
    except InvalidBundle as fault:
        raise BundleError(fault.what, cause=fault.cause, fix=fault.fix) from fault
