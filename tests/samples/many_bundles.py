"""500 bundles with a tag each, as a registry over a Store lists them; nobody asks what is in them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from mlship.registry.over_store import StoreRegistry

MANY, MOST = 500, 5  # bundles, and requests for listing them: one for each 100
MADE = [(f"model-{number:03}", sha256(str(number).encode()).hexdigest()) for number in range(MANY)]


def published(registry: StoreRegistry) -> None:
    """Of each bundle (a name and the hexadecimal part of its digest in MADE) a manifest and the tag 1.0."""

    def publish(one: tuple[str, str]) -> None:
        name, digits = one
        registry.store.write_if_absent(f"manifests/{name}/{digits}", [b"{}"], 2)
        registry.named.set(name, "1.0", f"sha256:{digits}", None)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, MADE))
