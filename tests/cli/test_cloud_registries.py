"""One bundle from a project to S3 and on to Azure Blob and a folder, through the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
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

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run("pull", "churn:1.0", bucket).code == 0
    assert run("verify", "churn:1.0").code == 0
    pushed = run("push", "churn:1.0", container)
    assert pushed.code == 0, pushed.err
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path / "another home"))
    assert run("pull", f"churn@{digest}", container, "--json").envelope["result"]["digest"] == digest
    assert run("verify", f"churn@{digest}", "--json").envelope["result"]["digest"] == digest


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
