"""Listing 500 bundles in S3: how many requests that takes, and how long on the loopback.

    python tests/bench/bench_list.py

The server is moto behind a proxy that counts. Five rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "samples"))
ROUNDS = 5


def main() -> int:
    from cloud_stores import s3_cloud
    from many_bundles import MANY, MOST, published

    from mlship.registry.listing import listed
    from mlship.registry.over_store import StoreRegistry
    from mlship.store.asking import Patience

    with s3_cloud() as cloud:
        os.environ.update(cloud.environment())
        registry = StoreRegistry(cloud.store(cloud.fresh(), patience=Patience()))
        published(registry)
        requests, seconds = [], []
        for _ in range(ROUNDS):
            cloud.proxy.seen.clear()
            start = time.perf_counter()
            found = listed(registry)
            seconds.append(time.perf_counter() - start)
            requests.append(len(cloud.proxy.seen))
            assert len({one.name for one in found if one.tag}) == MANY
    held = max(requests) <= MOST
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    print(f"list of {MANY} bundles: {statistics.median(seconds):.2f} s ({spread})")
    print(f"requests of it: {max(requests)} (at most {MOST}) {'ok' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
