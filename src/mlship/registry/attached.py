"""What is attached to a bundle, as it is read from any registry."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.bundle.source import Attachment
from mlship.digest import checked
from mlship.errors import BundleError


def whole(chunks: Iterable[bytes], name: str, attachment: Attachment, url: str) -> bytes:
    """The content of `attachment`, put together; BundleError, saying where it lies, if it is another."""
    try:
        return b"".join(checked(chunks, attachment.digest, attachment.size))
    except BundleError as error:
        raise BundleError(
            f"what is attached to {name} in {url} is damaged: {error.what}",
            cause=error.cause,
            fix=f"Remove {attachment.digest} there, then sign or push again",
        ) from error
