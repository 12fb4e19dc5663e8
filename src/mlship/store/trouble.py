"""What the ground floor says of a folder store, as an error of mlship."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlship.errors import RegistryError
from mlship_runtime.errors import StoreFault


@contextmanager
def as_registry_error() -> Iterator[None]:
    """Turn a StoreFault into a RegistryError that says the same."""
    try:
        yield
    except StoreFault as fault:
        raise RegistryError(fault.what, cause=fault.cause, fix=fault.fix) from fault
