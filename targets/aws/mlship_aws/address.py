"""What an `s3://` URL says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from mlship.errors import RegistryError, UsageError
from mlship.store.keys import check_key
from mlship.store.scheme import shown

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OPTIONS = ("profile", "region", "endpoint")


@dataclass(frozen=True)
class Address:
    """Where a store lies: all names keys begin with `prefix` (empty, or ending with a slash)."""

    bucket: str
    prefix: str = ""
    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None

    @property
    def url(self) -> str:
        options = [(name, value) for name in _OPTIONS if (value := getattr(self, name))]
        path = f"{self.bucket}/{self.prefix}".rstrip("/")
        return f"s3://{path}" + (f"?{urlencode(options, safe=':/')}" if options else "")


def read_address(url: str) -> Address:
    """Raises UsageError for what is no URL of a bucket."""
    scheme, _, rest = url.partition("://")
    path, _, query = rest.partition("?")
    bucket, _, prefix = path.partition("/")
    prefix = prefix.rstrip("/")
    options = dict(parse_qsl(query, keep_blank_values=True))
    try:
        if scheme != "s3" or not _BUCKET.fullmatch(bucket) or not set(options) <= set(_OPTIONS):
            raise ValueError
        if prefix:
            check_key(prefix)
    except (ValueError, RegistryError):
        raise UsageError(
            f"{shown(url)!r} is not the URL of a bucket",
            cause="it holds what may be a key, which belongs to `aws configure`" if "@" in url else "",
            fix="Write s3://bucket/prefix, or s3://bucket/prefix?profile=…&region=…&endpoint=…",
        ) from None
    return Address(bucket, f"{prefix}/" if prefix else "", **{k: v or None for k, v in options.items()})
