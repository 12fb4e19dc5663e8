"""What is the S3 store's own: old uploads, contents that are not right, errors."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cloud_stores import HURRIED, KEY_CANARY
from cutting_proxy import Cut

from mlship.errors import RegistryError, UsageError
from mlship_aws import upload
from mlship_aws.address import read_address
from mlship_aws.checksum import Checksum
from mlship_aws.store import S3Store

PART = 5 << 20
S3 = pytest.mark.parametrize("cloud", ["s3"], indirect=True)


def names_of(cloud: Any, url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix


def uploads(cloud: Any, url: str) -> list[Any]:
    found: list[Any] = (
        cloud.client().list_multipart_uploads(Bucket=names_of(cloud, url)[0]).get("Uploads", [])
    )
    return found


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://my.models-1/team/churn/", "my.models-1", "team/churn/"),
        ("s3://models/x?profile=prod&region=eu-west-1&endpoint=https://minio.example:9000", "models", "x/"),
    ],
)
def test_urls(url: str, bucket: str, prefix: str) -> None:
    address = read_address(url)
    assert (address.bucket, address.prefix) == (bucket, prefix)
    assert read_address(address.url) == address


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3://A", "s3://a/../b", "s3://ab c/x", "s3://bucket/x?secret=1", "s3://bucket/.x", "dir://x"],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a bucket"):
        S3Store(url)


@pytest.mark.parametrize(
    "url", ["s3://AKIA:canary@bucket/x", "s3://bucket/x?secret=canary", "s3://a:can/ary@b"]
)
def test_what_may_be_a_secret_is_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_address(url)
    assert not re.search("AKIA|canary|can/ary", str(refused.value))


@S3
def test_url_options_reach_the_client(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = cloud.fresh()
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.delenv("AWS_REGION")
    store = S3Store(f"{url}?region=eu-west-3&endpoint=http://127.0.0.1:{cloud.proxy.port}", HURRIED)
    assert store.write_if_absent("a", [b"1"])
    assert "/eu-west-3/s3/" in cloud.proxy.seen[0].headers["authorization"]


@S3
def test_an_upload_that_nobody_came_back_for_is_aborted(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = cloud.fresh()
    bucket, prefix = names_of(cloud, url)
    cloud.client().create_multipart_upload(Bucket=bucket, Key=f"{prefix}/blobs/old")
    data = os.urandom(2 * PART)
    assert S3Store(url, HURRIED, PART).write_if_absent("a", [data])
    assert len(uploads(cloud, url)) == 1, "a young one was aborted"

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz or UTC) + timedelta(days=8)

    monkeypatch.setattr(upload, "datetime", Later)
    assert S3Store(url, HURRIED, PART).write_if_absent("b", [data])
    assert uploads(cloud, url) == []


@S3
def test_somebody_elses_write_is_not_taken_for_ones_own(cloud: Any) -> None:
    url = cloud.fresh()
    store, other = cloud.store(url), cloud.store(url)
    cloud.proxy.cuts[:] = [Cut("500", "PUT", "tags/prod", at=0)]  # the first attempt never arrives
    real = store._bucket.ask

    def after_the_other(operation: str, **words: Any) -> Any:
        if operation == "put_object":
            cuts, cloud.proxy.cuts[:] = list(cloud.proxy.cuts), []
            assert other.write_if_match("tags/prod", b"1", None) is not None
            cloud.proxy.cuts[:] = cuts
        return real(operation, **words)

    store._bucket.ask = after_the_other
    assert store.write_if_match("tags/prod", b"1", None) is None


@S3
@pytest.mark.parametrize("size", [1000, 2 * PART + 1])
def test_what_was_damaged_there_is_refused(cloud: Any, size: int) -> None:
    url = cloud.fresh()
    store = cloud.store(url, PART)
    data = os.urandom(size)
    store.write_if_absent("x", [data])
    answer = store._bucket.ask("get_object", Key="models/x", ChecksumMode="ENABLED")
    assert answer["ChecksumSHA256"], "the server says nothing to compare with"
    checksum = Checksum(answer)
    for at in range(0, size, 1 << 20):
        checksum.update(data[at : at + (1 << 20)])
    assert checksum.fits()
    for place in (0, size // 2, size - 1):
        damaged = bytearray(data)
        damaged[place] ^= 1
        checksum = Checksum(answer)
        checksum.update(bytes(damaged))
        assert not checksum.fits()


@S3
def test_a_damaged_value_never_comes_out(cloud: Any) -> None:
    """The object is exchanged behind its checksum, as a bad disk or cache would."""
    url = cloud.fresh()
    store = cloud.store(url)
    right, wrong = b"x" * 1000, b"y" * 1000
    store.write_if_absent("x", [right])
    real = store._bucket.ask

    def exchanged(operation: str, **words: Any) -> Any:
        answer = real(operation, **words)
        if operation == "get_object":
            answer["ChecksumSHA256"] = base64.b64encode(hashlib.sha256(wrong).digest()).decode()
        return answer

    store._bucket.ask = exchanged
    for read in (lambda: b"".join(store.read("x")), lambda: store.get("x")):
        with pytest.raises(RegistryError, match=r"x in s3://.* is not what its SHA-256 says"):
            read()


@S3
def test_a_value_that_changes_while_it_is_read(cloud: Any) -> None:
    store = cloud.store(cloud.fresh())
    version = store.write_if_match("x", bytes(1 << 20), None)
    cloud.proxy.cuts[:] = [Cut("close", "GET", "models/x", 300_000, down=True)]
    reading = store.read("x", 0, 1 << 20)
    real = store._bucket.pause

    def changed(trial: Any, error: Exception) -> None:
        assert store.write_if_match("x", b"\1" * (1 << 20), version)
        real(trial, error)

    store._bucket.pause = changed
    with pytest.raises(RegistryError, match="was changed while it was read"):
        b"".join(reading)


@S3
def test_a_value_that_changes_right_before_it_is_removed(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = cloud.fresh()
    store, other = cloud.store(url), cloud.store(url)
    version = store.write_if_match("tag", b"1", None)
    look = store._head

    def overtaken(key: str) -> Any:
        found = look(key)
        assert other.write_if_match(key, b"2", version)
        return found

    monkeypatch.setattr(store, "_head", overtaken)
    assert not store.delete_if_match("tag", version)
    assert other.get("tag")[0] == b"2"
    (removal,) = cloud.proxy.of("DELETE", "/tag")
    assert removal.headers["if-match"] == version


@S3
def test_one_request_for_a_thousand_keys(cloud: Any) -> None:
    url = cloud.fresh()
    bucket, prefix = names_of(cloud, url)
    client = cloud.client()
    for number in range(1005):
        checksum = base64.b64encode(hashlib.sha256(b"").digest()).decode()
        client.put_object(
            Bucket=bucket, Key=f"{prefix}/tags/x/{number:04}", Body=b"", ChecksumSHA256=checksum
        )
    cloud.proxy.seen.clear()
    assert list(cloud.store(url).list("tags/")) == [f"tags/x/{number:04}" for number in range(1005)]
    assert len(cloud.proxy.seen) == 2


@S3
def test_a_server_that_is_no_s3(cloud: Any) -> None:
    """It answers 404 to everything, as a web server does."""
    store = cloud.store(cloud.fresh(), PART)
    cloud.proxy.cuts[:] = [Cut("404", method, "") for method in ("GET", "POST", "PUT") for _ in range(9)]
    with pytest.raises(RegistryError, match="ListObjectsV2 was refused: 404"):
        list(store.list(""))
    with pytest.raises(RegistryError, match="ListMultipartUploads was refused: 404"):
        store.write_if_absent("x", [bytes(3 * PART)])
    with pytest.raises(RegistryError, match="cannot be written to"):
        store.write_if_absent("x", [b"1"])


@S3
def test_errors_are_one_line_with_what_to_run(
    cloud: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError) as caught:
        list(cloud.store("s3://there-is-none-such").list(""))
    assert str(caught.value) == (
        "cannot use s3://there-is-none-such: there is no such bucket. "
        "Look for its name with `aws s3 ls`, or create it"
    )
    assert KEY_CANARY not in str(caught.value)
    url = cloud.fresh()
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(RegistryError, match="there is no such AWS profile"):
        cloud.store(url).get("x")
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RegistryError, match=r"no AWS credentials were found. Run `aws sso login`"):
        cloud.store(url).get("x")
    config = tmp_path / "config"
    config.write_text(
        "[profile sso]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n"
        "sso_account_id = 123456789012\nsso_role_name = reader\nregion = eu-west-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RegistryError, match=r"credentials cannot be renewed. Run `aws sso login`"):
        cloud.store(f"{url}?profile=sso").get("x")


@S3
def test_the_layer_before_moto_checks(cloud: Any) -> None:
    """What the tests stand on: a request that is not right is refused."""
    from botocore.exceptions import ClientError

    url = cloud.fresh()
    bucket, client = names_of(cloud, url)[0], cloud.client()
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket, Key="x", Body=b"this", ChecksumSHA256=wrong)
    with pytest.raises(ClientError, match="InvalidRequest"):
        client.put_object(Bucket=bucket, Key="x", Body=b"this", ChecksumAlgorithm="CRC32")
