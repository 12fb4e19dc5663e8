"""One bundle from a project to S3 and on to Azure Blob and a folder, through the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cloud_stores import AZURITE_KEY, KEY_CANARY
from cutting_proxy import Cut
from sample_bundle import make_bundle

from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[registries.team]\nurl = "{}"\n'


@pytest.mark.server
def test_a_bundle_goes_from_cloud_to_cloud_with_one_digest(
    run: Any, tmp_path: Path, cloud_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, azure = cloud_of("s3"), cloud_of("azblob")
    for name, value in (s3.environment() | azure.environment()).items():
        monkeypatch.setenv(name, value)
    bucket, container = s3.fresh(), azure.fresh()
    (tmp_path / "mlship.toml").write_text(TOML.format(bucket))
    built = open_registry(f"dir://{tmp_path}/.mlship/store")
    digest = make_bundle(built, model=os.urandom(18 << 20))
    built.set_tag("churn", "1.0", digest, None)
    (tmp_path / ".mlship" / "built.json").write_text(json.dumps({"reference": "churn:1.0", "digest": digest}))

    sent = run("push", "churn:1.0", "team", "--json")
    assert sent.code == 0, sent.err
    assert run("push", "churn:1.0", "team", "--json").envelope["result"]["sentBlobs"] == 0
    listed = run("list", "team")
    assert digest[:12] in listed.out or digest in listed.out

    copied = run("copy", "team/churn:1.0", container)
    assert copied.code == 0, copied.err
    assert run("fsck", container).code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run("pull", f"churn@{digest}", container, "--json").envelope["result"]["digest"] == digest
    assert run("verify", f"churn@{digest}", "--json").envelope["result"]["digest"] == digest


@pytest.mark.server
@pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)
def test_collected_and_mended_there(run: Any, tmp_path: Path, cloud: Any) -> None:
    url, mirror = cloud.fresh(), f"dir://{tmp_path}/mirror"
    registry = open_registry(url)
    kept, gone = make_bundle(registry), make_bundle(registry, model=b"old")
    for tag, digest in (("1", kept), ("2", gone)):
        registry.set_tag("churn", tag, digest, None)
    assert run("copy", url, mirror).code == 0
    tagged = registry.read_tag("churn", "2")
    assert tagged
    registry.delete_tag("churn", "2", tagged)
    before = set(registry.store.list(""))
    assert run("gc", url, "--yes").code == 0
    after = set(registry.store.list(""))
    assert after < before
    assert registry.digests("churn") == [kept]
    assert run("fsck", url).code == 0

    key = next(key for key in after if key.startswith("blobs/"))
    assert registry.store.delete_if_match(key, registry.store.stat(key).version)
    assert run("fsck", url).code == 4
    mended = run("fsck", url, "--repair", "--from", mirror)
    assert mended.code == 0, mended.err
    assert run("fsck", url).code == 0


@pytest.mark.server
@pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)
@pytest.mark.parametrize("trouble", ["503", "401", "reset", "none"])
def test_no_secret_is_said(run: Any, cloud: Any, trouble: str) -> None:
    url = cloud.fresh()
    cloud.proxy.cuts[:] = [Cut(trouble, "GET", "") for _ in range(9)] if trouble != "none" else []
    ended = run("list", url, "--debug")
    assert ended.code == (0 if trouble == "none" else 5)
    for secret in (KEY_CANARY, AZURITE_KEY, "Signature=", "SharedKey "):
        assert secret not in ended.err + ended.out


@pytest.mark.server
def test_errors_of_a_bucket_end_with_5(run: Any, cloud_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = cloud_of("s3")
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    ended = run("list", "s3://there-is-no-such")
    assert ended.code == 5
    assert ended.err.rstrip() == (
        "error: cannot use s3://there-is-no-such: there is no such bucket. "
        "Look for its name with `aws s3 ls`, or create it"
    )
    assert run("list", "s3://No/Bucket").code == 2
