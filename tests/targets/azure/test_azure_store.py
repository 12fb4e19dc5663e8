"""What is the Azure store's own: ways in, contents that are not right, errors."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloud_stores import AZURITE_ACCOUNT, AZURITE_KEY, HURRIED
from cutting_proxy import Cut

from mlship.errors import RegistryError, UsageError
from mlship_azure import store as module
from mlship_azure.address import Access, find_access, read_address
from mlship_azure.store import AzureStore

PART = 1 << 20
AZURE = pytest.mark.parametrize("cloud", ["azblob"], indirect=True)


def blob_of(cloud: Any, url: str, key: str) -> Any:
    container, _, prefix = url.removeprefix(f"azblob://{AZURITE_ACCOUNT}/").partition("/")
    return cloud.client().get_blob_client(container, f"{prefix}/{key}")


@pytest.mark.parametrize(
    ("url", "container", "prefix"),
    [
        ("azblob://acme1/models", "models", ""),
        ("azblob://acme1/models/", "models", ""),
        ("azblob://acme1/my-models-1/team/churn", "my-models-1", "team/churn/"),
    ],
)
def test_urls(url: str, container: str, prefix: str) -> None:
    address = read_address(url)
    assert (address.account, address.container, address.prefix) == ("acme1", container, prefix)
    assert read_address(address.url) == address


@pytest.mark.parametrize(
    "url",
    ["azblob://acme", "azblob://Acme/x", "azblob://acme/-x", "azblob://acme/a--b", "azblob://acme/xyz/../a"],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a container"):
        AzureStore(url)


@pytest.mark.parametrize("url", ["azblob://acme/models?sv=1&sig=canary", "azblob://acme:canary@acme/models"])
def test_a_token_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="goes to AZURE_STORAGE_SAS_TOKEN") as caught:
        AzureStore(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "access"),
    [
        ({}, Access("https://acme.blob.core.windows.net")),
        (
            {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=s", "AZURE_STORAGE_KEY": "k"},
            Access("https://acme.blob.core.windows.net", sas="sv=1&sig=s"),
        ),
        (
            {"AZURE_STORAGE_KEY": "k", "AZURE_STORAGE_ACCOUNT": "acme"},
            Access("https://acme.blob.core.windows.net", key="k"),
        ),
        (
            {"AZURE_STORAGE_KEY": "k", "AZURE_STORAGE_ACCOUNT": "another"},
            Access("https://acme.blob.core.windows.net"),
        ),
        (
            {
                "AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=a==;"
                "EndpointSuffix=core.chinacloudapi.cn"
            },
            Access("https://acme.blob.core.chinacloudapi.cn", key="a=="),
        ),
        (
            {
                "AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://acme.blob.core.windows.net/;"
                "SharedAccessSignature=sv=1&sig=s="
            },
            Access("https://acme.blob.core.windows.net/", sas="sv=1&sig=s="),
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=another;AccountKey=a=="},
            Access("https://acme.blob.core.windows.net"),
        ),
    ],
)
def test_credentials_of_the_environment(
    environment: dict[str, str], access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_access("acme") == access


@AZURE
def test_a_sas_token_is_enough(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    url = cloud.fresh()
    container = read_address(url).container

    def token(allowed: str, hours: int) -> str:
        return generate_container_sas(
            AZURITE_ACCOUNT,
            container,
            account_key=AZURITE_KEY,
            permission=ContainerSasPermissions.from_string(allowed),
            expiry=datetime.now(UTC) + timedelta(hours=hours),
        )

    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv(
        "AZURE_STORAGE_SERVICE_ENDPOINT", f"http://127.0.0.1:{cloud.proxy.port}/{AZURITE_ACCOUNT}"
    )
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token("rcwdl", 1))
    store = AzureStore(url, HURRIED)
    version = store.write_if_match("x", b"1", None)
    assert version is not None
    assert list(store.list("")) == ["x"]
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token("rl", 1))
    reader = AzureStore(url, HURRIED)
    assert reader.get("x") == (b"1", version)
    with pytest.raises(RegistryError, match=r"permission denied. Get the role Storage Blob Data Contributor"):
        reader.write_if_match("x", b"2", version)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token("rl", -1))
    with pytest.raises(RegistryError, match="has expired") as caught:
        AzureStore(url, HURRIED).get("x")
    assert "sig=" not in str(caught.value)


@AZURE
@pytest.mark.parametrize("size", [1000, 2 * PART + 1])
def test_a_value_that_was_exchanged_is_refused(cloud: Any, size: int) -> None:
    """By somebody who writes other bytes and keeps what is said of them."""
    url = cloud.fresh()
    store = cloud.store(url, PART)
    store.write_if_absent("x", [os.urandom(size)])
    blob = blob_of(cloud, url, "x")
    blob.upload_blob(os.urandom(size), overwrite=True, metadata=blob.get_blob_properties().metadata)
    for read in (lambda: b"".join(store.read("x")), lambda: store.get("x")):
        with pytest.raises(RegistryError, match=r"x in azblob://.* is not what its SHA-256 says"):
            read()


@AZURE
def test_a_blob_of_somebody_else_says_nothing_and_is_read(cloud: Any) -> None:
    url = cloud.fresh()
    blob_of(cloud, url, "x").upload_blob(b"by hand")
    blob_of(cloud, url, ".hidden/y").upload_blob(b"")
    assert b"".join(cloud.store(url).read("x")) == b"by hand"
    assert list(cloud.store(url).list("")) == ["x"]


@AZURE
def test_a_value_that_changes_while_it_is_read(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 100_000)
    store = cloud.store(cloud.fresh())
    version = store.write_if_match("x", bytes(1 << 20), None)
    reading = store.read("x")
    next(reading)
    assert store.write_if_match("x", b"\1" * (1 << 20), version)
    with pytest.raises(RegistryError, match="was changed while it was read"):
        b"".join(reading)


@AZURE
def test_pages_of_a_list_are_joined(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import ContainerClient

    url = cloud.fresh()
    store = cloud.store(url)
    keys = [f"tags/x/{number}" for number in range(7)]
    for key in keys:
        store.write_if_absent(key, [b""])
    real = ContainerClient.list_blob_names
    monkeypatch.setattr(
        ContainerClient, "list_blob_names", lambda self, **more: real(self, results_per_page=3, **more)
    )
    cloud.proxy.seen.clear()
    cloud.proxy.cuts[:] = [Cut("close", "GET", "marker=")]
    assert list(store.list("tags/")) == keys
    assert len(cloud.proxy.seen) == 3 + 1, "the page that was cut off is asked for again, and no other"


@AZURE
def test_a_server_that_is_none_of_azures(cloud: Any) -> None:
    """It answers 404 to everything, as a web server does."""
    store = cloud.store(cloud.fresh(), PART)
    cloud.proxy.cuts[:] = [Cut("404", "GET", "") for _ in range(9)]
    with pytest.raises(RegistryError, match="cannot be listed"):
        list(store.list(""))
    cloud.proxy.cuts[:] = [Cut("404", "PUT", "") for _ in range(9)]
    for data in (b"1", bytes(3 * PART)):
        with pytest.raises(RegistryError, match=r"was ended meanwhile. Repeat"):
            store.write_if_absent("x", [data])


@AZURE
def test_a_name_that_azure_changes_is_refused(cloud: Any) -> None:
    with pytest.raises(RegistryError, match="Azure knows no names that end with a dot"):
        cloud.store(cloud.fresh()).write_if_absent("tags/churn/v1.", [b""])


@AZURE
def test_errors_are_one_line_with_what_to_run(
    cloud: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RegistryError) as caught:
        list(cloud.store(f"azblob://{AZURITE_ACCOUNT}/none-such").list(""))
    assert str(caught.value) == (
        f"cannot use azblob://{AZURITE_ACCOUNT}/none-such: there is no such container. "
        "Look for its name with `az storage container list`"
    )
    url = cloud.fresh()
    connection = cloud.environment()["AZURE_STORAGE_CONNECTION_STRING"]
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection.replace(AZURITE_KEY, "Y2FuYXJ5"))
    with pytest.raises(RegistryError, match="the key or SAS is wrong or has expired") as caught:
        cloud.store(url).get("x")
    assert "Y2FuYXJ5" not in str(caught.value)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("PATH", "")  # no az, no azd
    with pytest.raises(RegistryError, match=r"no Azure credentials were found, .* Run `az login`"):
        cloud.store(url).get("x")
    assert capfd.readouterr().err == ""
