"""What opens an `s3://` URL. Nothing is asked for, and boto3 not imported, before the first call."""

from __future__ import annotations

from mlship.registry.over_store import StoreRegistry
from mlship_aws.store import S3Store


def open_registry(url: str) -> StoreRegistry:
    """The registry in a bucket."""
    return StoreRegistry(S3Store(url))
