"""URLs of OCI registries, and which of them are spoken to without TLS."""

from __future__ import annotations

import pytest

from mlship.errors import UsageError
from mlship.registry.oci.address import Address, is_loopback, parse_address, parse_host


@pytest.mark.parametrize(
    ("url", "root", "repository"),
    [
        ("oci://registry.example.com", "https://registry.example.com", "churn"),
        ("oci://registry.example.com/team/models", "https://registry.example.com", "team/models/churn"),
        ("oci://Registry.Example.com:5000/team/", "https://registry.example.com:5000", "team/churn"),
        ("oci+http://registry.example.com:5000/t", "http://registry.example.com:5000", "t/churn"),
        ("oci://127.0.0.1:5000", "http://127.0.0.1:5000", "churn"),
        ("oci://localhost/team", "http://localhost", "team/churn"),
        ("oci://[::1]:5000/a-b/c__d", "http://[::1]:5000", "a-b/c__d/churn"),
        ("oci+https://localhost:5000", "https://localhost:5000", "churn"),
        ("oci://docker.io/ann", "https://registry-1.docker.io", "ann/churn"),
        ("oci://index.docker.io/ann", "https://registry-1.docker.io", "ann/churn"),
    ],
)
def test_urls(url: str, root: str, repository: str) -> None:
    address = parse_address(url)
    assert (address.root, address.repository("churn")) == (root, repository)
    assert parse_address(address.url) == address


@pytest.mark.parametrize(
    "url",
    [
        "oci://", "oci:///x", "oci://host/Team", "oci://host/a//b", "oci://host/../x", "oci://host/a?b",
        "oci://host#x",
        "oci://host:99999", "oci://host:x", "oci://-host", "oci://ho st", "oci://host/a\n", "https://host",
        "oci://h/" + "a" * 300,
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_registry(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of an OCI registry"):
        parse_address(url)


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(UsageError, match="holds no credentials") as caught:
        parse_address("oci://ann:canary@registry.example.com/team")
    assert "canary" not in str(caught.value)


def test_a_host_by_itself() -> None:
    assert parse_host("registry.example.com:5000") == Address("oci", "registry.example.com:5000")
    assert parse_host("oci+http://registry.example.com/team") == Address("oci+http", "registry.example.com")
    assert parse_host("index.docker.io").host == "docker.io"


@pytest.mark.parametrize("host", ["localhost", "a.localhost:5000", "127.0.0.1", "127.3.2.1:80", "[::1]:5000"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", "[fe80::1]", "128.0.0.1"]
)
def test_another_machine(host: str) -> None:
    assert not is_loopback(host)
