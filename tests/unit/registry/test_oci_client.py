"""Who is let in and with what, where secrets go, what is repeated, and what a registry may not say."""

from __future__ import annotations

import logging
import ssl
import subprocess
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text
from oci_double import PASSWORD, USER, Double, Fault, Handler, digest_of, running
from sample_bundle import make_bundle

from mlship.bundle.source import Attachment
from mlship.digest import sha256
from mlship.errors import BundleError, MlshipError, RegistryError, TagMovedError
from mlship.reference import parse_reference
from mlship.registry.oci import certificates, docker_config
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.challenge import Challenge, parse_challenges
from mlship.registry.oci.docker_config import Credentials
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.over_store import open_folder
from mlship.registry.transfer import copy

QUICK = Patience(pause=0.01, stall=10)
BLOB = bytes(range(256)) * 400
CONTENT = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(autouse=True)
def own_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def double() -> Iterator[Double]:
    with running(Double()) as double:
        double.blobs["churn", digest_of(BLOB)] = BLOB
        yield double


def opened(double: Double, patience: Patience = QUICK) -> OciRegistry:
    return OciRegistry(parse_address(f"oci://{double.host}"), patience)


def read(registry: OciRegistry) -> bytes:
    return b"".join(registry.read_blob("churn", digest_of(BLOB), len(BLOB)))


# Who is let in


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_that_are_kept_open_the_door(double: Double, auth: str) -> None:
    double.auth = auth
    docker_config.store(double.host, USER, PASSWORD)
    registry = opened(double)
    assert read(registry) == BLOB
    make_bundle(registry)
    assert double.issued <= 3, "a token is used as long as it holds"


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_without_credentials_one_is_told_what_to_run(double: Double, auth: str) -> None:
    double.auth = auth
    with pytest.raises(RegistryError) as caught:
        read(opened(double))
    url = f"oci://{double.host}"
    what = "asks for credentials, and there are none"
    assert str(caught.value) == f"{url} {what}. Run: mlship login {double.host}"


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_that_do_not_hold(double: Double, auth: str) -> None:
    double.auth = auth
    docker_config.store(double.host, USER, "old-canary")
    with pytest.raises(RegistryError) as caught:
        read(opened(double))
    assert str(caught.value) == (
        f"oci://{double.host} does not accept the credentials that are kept for it: they are wrong, "
        f"have expired, or are for something else. Run: mlship login {double.host}"
    )
    assert len(double.seen) <= 3, "it is not tried again and again"


def test_what_is_open_to_all_needs_no_credentials(double: Double) -> None:
    double.auth, double.anonymous = "bearer", True
    assert read(opened(double)) == BLOB


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_registry_that_lists_no_names(double: Double, status: int) -> None:
    def lie(handler: Handler) -> bool:
        if "_catalog" not in handler.path:
            return False
        handler.error(status, "UNSUPPORTED", {"WWW-Authenticate": "Basic"} if status == 401 else None)
        return True

    double.lie = lie
    registry = opened(double)
    with pytest.raises(RegistryError, match=r"does not list what it has: .*\. Name a bundle, too"):
        registry.names()
    with pytest.raises(RegistryError, match="has no churn:latest: it was not pushed there, or removed"):
        registry.resolve(parse_reference("churn"))


def test_an_identity_token_is_exchanged(double: Double) -> None:
    double.auth = "bearer"
    registry = opened(double)
    registry.client.authority._credentials = Credentials(identity="identity-canary")
    registry.client.authority._looked = True
    assert read(registry) == BLOB
    asked = double.of("POST", "/token")
    assert len(asked) == 1
    assert "canary" not in asked[0].path


def test_a_token_that_expires_is_renewed(double: Double) -> None:
    double.auth = "bearer"
    docker_config.store(double.host, USER, PASSWORD)
    registry = opened(double)
    assert read(registry) == BLOB
    double.tokens.clear()
    assert read(registry) == BLOB
    assert double.issued == 2


def test_tokens_ask_for_no_more_than_is_needed(double: Double) -> None:
    double.auth = "bearer"
    docker_config.store(double.host, USER, PASSWORD)
    registry = opened(double)
    read(registry)
    registry.write_blob("churn", sha256(b"x"), 1, [b"x"])
    asked = [x.path.partition("scope=")[2] for x in double.of("GET", "/token")]
    assert asked == ["repository%3Achurn%3Apull", "repository%3Achurn%3Apull%2Cpush"]


def test_a_door_of_another_kind(double: Double) -> None:
    def lie(handler: Handler) -> bool:
        handler.error(401, "UNAUTHORIZED", {"WWW-Authenticate": "Negotiate"})
        return True

    double.lie = lie
    with pytest.raises(RegistryError, match="in a way that is not known here: negotiate"):
        read(opened(double))


def test_what_may_not_be_done(double: Double) -> None:
    double.lie = lambda handler: handler.error(403, "DENIED") is None
    with pytest.raises(RegistryError, match=r"it answers 403 DENIED: as the script says\. Ask for the right"):
        read(opened(double))
    assert len(double.seen) == 1


# Where secrets go


def test_credentials_do_not_follow_a_redirect(double: Double) -> None:
    with running(Double()) as storage:
        storage.blobs["churn", digest_of(BLOB)] = BLOB
        double.auth, double.redirect_blobs = "basic", storage.url
        docker_config.store(double.host, USER, PASSWORD)
        assert read(opened(double)) == BLOB
        assert [x.headers.get("Authorization") for x in storage.seen] == [None]


def test_a_cut_after_a_redirect_begins_at_the_registry(double: Double) -> None:
    with running(Double()) as storage:
        storage.blobs["churn", digest_of(BLOB)] = BLOB
        storage.faults.append(Fault("close", "GET", "/blobs/", 50_000))
        double.redirect_blobs = storage.url
        assert read(opened(double)) == BLOB
        assert [x.headers.get("Range") for x in storage.seen] == [None, "bytes=50000-"]
        assert len(double.of("GET", "/blobs/")) == 2


def test_credentials_do_not_follow_an_upload_elsewhere(double: Double) -> None:
    with running(Double()) as storage:
        storage.uploads["s"] = b""

        def lie(handler: Handler) -> bool:
            if handler.command == "POST" and handler.allowed():
                handler.answer(202, b"", {"Location": f"{storage.url}/v2/churn/blobs/uploads/s"})
                return True
            return False

        double.auth, double.lie = "basic", lie
        docker_config.store(double.host, USER, PASSWORD)
        opened(double).write_blob("churn", sha256(b"x"), 1, [b"x"])
        assert [x.headers.get("Authorization") for x in storage.of("PUT")] == [None]
        assert storage.blobs["churn", sha256(b"x")] == b"x"


SECRETS = ("pass-word-canary", "token-canary")


@pytest.mark.parametrize("kind", ["500", "401", "close", "429", "repeats what it was told"])
def test_no_secret_is_in_errors_or_logs(double: Double, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    double.auth = "bearer"
    docker_config.store(double.host, USER, PASSWORD)
    told_back = kind.startswith("repeats")
    if not told_back:
        double.faults += [Fault(kind, "GET", "/blobs/", retry_after="9999") for _ in range(20)]
    registry = opened(double)

    def lie(handler: Handler) -> bool:
        if handler.command != "HEAD" and "/blobs/" in handler.path and told_back:
            told = handler.headers.get("Authorization", "")
            handler.answer(400, b'{"errors":[{"code":"X","message":"you sent %s"}]}' % told.encode())
            return True
        return False

    registry.has_blob("churn", digest_of(BLOB))
    double.lie = lie
    with pytest.raises(MlshipError) as caught:
        read(registry)
    shown = f"{caught.value} {caught.value!r} {caught.getrepr(style='long', showlocals=False)} {caplog.text}"
    assert not [secret for secret in SECRETS if secret in shown]
    if told_back:
        assert "you sent Bearer ***" in str(caught.value)


def test_a_token_does_not_come_from_a_place_without_tls() -> None:
    registry = OciRegistry(parse_address("oci://registry.example.com"), QUICK)
    for realm in (
        "http://registry.example.org/token",
        "http://127.0.0.1/token",
        "https://ann:x@example.com/",
        "ftp://x/",
    ):
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}
        with pytest.raises(
            RegistryError, match=r"a place without TLS|does not say where its tokens come from"
        ):
            registry.client.authority.renew(challenge, ("x",), None)


def test_where_a_registry_may_send_us() -> None:
    secure = OciRegistry(parse_address("oci://registry.example.com"), QUICK).client.transport
    here = "https://registry.example.com/v2/x"
    assert secure.located(here, "/v2/y?z") == "https://registry.example.com/v2/y?z"
    assert secure.located(here, "https://storage.example.org/y") == "https://storage.example.org/y"
    assert secure.located(here, "http://registry.example.com/y") == "https://registry.example.com/y"
    for target in (
        "http://storage.example.org/y",
        "file:///etc/passwd",
        "https://ann:x@example.org/",
        "ftp://x/",
    ):
        with pytest.raises(RegistryError, match="sends us to a place without TLS"):
            secure.located(here, target)


# What is repeated


def test_a_date_in_retry_after_is_kept(double: Double) -> None:
    double.faults.append(Fault("429", "GET", "/blobs/", retry_after=formatdate(time.time() + 2, usegmt=True)))
    began = time.monotonic()
    assert read(opened(double)) == BLOB
    assert 0.5 < time.monotonic() - began < 30


def test_who_wants_to_be_left_alone_for_long_is(double: Double) -> None:
    double.faults.append(Fault("429", "GET", "/blobs/", retry_after="9999"))
    with pytest.raises(
        RegistryError, match=r"it answers 429 TOOMANYREQUESTS: as the script says\. Try again later"
    ):
        read(opened(double))
    assert len(double.seen) == 1


def test_there_is_an_end_to_trying(double: Double) -> None:
    double.faults += [Fault("503", "GET", "/blobs/") for _ in range(50)]
    with pytest.raises(RegistryError, match="it answers 503"):
        read(opened(double))
    assert len(double.seen) == QUICK.attempts


def test_an_answer_in_drops_has_an_end(double: Double) -> None:
    def lie(handler: Handler) -> bool:
        if "/manifests/" in handler.path:
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            while not double.released.wait(0.1):
                handler.wfile.write(b" ")
            return True
        return False

    double.lie = lie
    began = time.monotonic()
    with pytest.raises(RegistryError, match="too slow"):
        opened(double, Patience(attempts=2, pause=0.01, stall=0.5, small=0.5)).read_manifest(
            "churn", sha256(b"")
        )
    assert time.monotonic() - began < 10


def test_a_blob_in_drops_has_an_end(double: Double) -> None:
    def lie(handler: Handler) -> bool:
        if handler.command != "GET":
            return False
        handler.send_response(206 if handler.headers.get("Range") else 200)
        begin = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        handler.send_header("Content-Range", f"bytes {begin}-{len(BLOB) - 1}/{len(BLOB)}")
        handler.send_header("Content-Length", str(len(BLOB) - begin))
        handler.end_headers()
        for at in range(begin, len(BLOB)):
            if double.released.wait(0.02):
                break
            handler.wfile.write(BLOB[at : at + 1])
        return True

    double.lie = lie
    with pytest.raises(RegistryError, match="too slow: what it sends comes in drops"):
        read(opened(double, Patience(pause=0.01, stall=0.3)))
    assert 3 <= len(double.seen) <= 10


def test_a_proxy_is_not_asked_for_this_machine(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert read(opened(double)) == BLOB


def test_a_proxy_is_asked_for_other_machines(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://{USER}:{PASSWORD}@{double.host}"
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    seen: list[str] = []

    def lie(handler: Handler) -> bool:
        seen.append(handler.path)
        assert handler.headers["Proxy-Authorization"].startswith("Basic ")
        handler.answer(200, BLOB)
        return True

    double.lie = lie
    registry = OciRegistry(parse_address("oci+http://registry.invalid:5000"), QUICK)
    assert read(registry) == BLOB
    assert seen == [f"http://registry.invalid:5000/v2/churn/blobs/{digest_of(BLOB)}"]


def test_nobody_there_is_told_soon() -> None:
    registry = OciRegistry(parse_address("oci://127.0.0.1:1"), Patience(pause=0.01))
    with pytest.raises(RegistryError) as caught:
        registry.names()
    assert (
        str(caught.value)
        == "oci://127.0.0.1:1 cannot be reached: Connection refused. Look at the name and port"
    )


def test_content_that_cannot_be_read_again_is_told(double: Double) -> None:
    double.faults.append(Fault("reset", "PUT", "/uploads/", 10_000))
    content = iter([BLOB[:50_000], BLOB[50_000:]])
    with pytest.raises(RegistryError, match=r"what was being sent cannot be read again\. Run it again"):
        opened(double).write_blob("other", digest_of(BLOB), len(BLOB), content)


# What a registry may not say


def test_wrong_content_is_refused_and_not_kept(double: Double, tmp_path: Path) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    copy(source, opened(double), "churn", digest, tag="1")
    tries = 0
    for (repository, blob), data in list(double.blobs.items()):
        if blob == digest_of(BLOB) or not data:
            continue
        for wrong in (bytes([data[0] ^ 1]) + data[1:], data[:-1], data + b"x", b""):
            double.blobs[repository, blob] = wrong
            tries += 1
            target = open_folder(f"dir://{tmp_path}/target{tries}")
            with pytest.raises(BundleError):
                copy(opened(double), target, "churn", digest, tag="1")
            assert not target.has_blob("churn", blob)
            assert target.digests("churn") == []
        double.blobs[repository, blob] = data
    assert tries == 8 * 4
    assert copy(opened(double), target, "churn", digest, tag="1").digest == digest


def test_a_wrong_manifest_is_refused(double: Double) -> None:
    registry = opened(double)
    digest = make_bundle(registry)
    data, kind = double.manifests["churn", digest]
    double.manifests["churn", digest] = (data.replace(b"churn", b"chorn"), kind)
    with pytest.raises(BundleError, match="is not what its digest says"):
        registry.read_manifest("churn", digest)


@pytest.mark.parametrize(
    ("size", "why"),
    [(5 << 20, "answers with too much: more than 4194304 bytes"), (10, "is not what its digest says")],
)
def test_a_manifest_of_a_strange_size(double: Double, size: int, why: str) -> None:
    double.manifests["churn", sha256(b"x")] = (b" " * size, CONTENT)
    with pytest.raises(MlshipError, match=why):
        opened(double).read_manifest("churn", sha256(b"x"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"tags":' + b"[" * 40 + b"]" * 40 + b"}", "nested more than 32 levels deep"),
        (b'{"tags":[],"tags":["1"]}', "stands twice in one object"),
        (b"not json", "cannot be read"),
        (b"[]", "it answers with no list"),
        (b'{"tags":{"1":1}}', "it answers with no list"),
        (b" " * (5 << 20), "too much"),
    ],
)
def test_lists_that_are_none(double: Double, data: bytes, why: str) -> None:
    double.lie = lambda handler: handler.answer(200, data) is None
    with pytest.raises(MlshipError, match=why):
        opened(double).tags("churn")


def test_a_list_without_end(double: Double) -> None:
    link = {"Link": '</v2/churn/tags/list?n=1>; rel="next"'}
    double.lie = lambda handler: handler.answer(200, b'{"tags":["1"]}', link) is None
    with pytest.raises(RegistryError, match="its list has no end"):
        opened(double).tags("churn")


def test_redirects_without_end(double: Double) -> None:
    double.redirect_blobs = double.url
    with pytest.raises(RegistryError, match="redirects without end"):
        read(opened(double))


def test_names_and_tags_outside_the_grammar_are_left_out(double: Double) -> None:
    registry = opened(double)
    digest = make_bundle(registry)
    registry.set_tag("churn", "1", digest, None)
    data = double.manifests["churn", "1"]
    for tag in ("-x", "a" * 129, "../x", "\x1b[31m"):
        double.manifests["churn", tag] = data
    for name in ("Churn", "../x", "a/b"):
        double.manifests[name, "1"] = data
    assert registry.tags("churn") == {"1": digest}
    assert registry.names() == ["churn"]


@pytest.mark.parametrize("claimed", ["0", "10", "999999"])
def test_a_size_that_is_a_lie(double: Double, claimed: str) -> None:
    def lie(handler: Handler) -> bool:
        if "/blobs/" in handler.path:
            handler.send_response(200)
            handler.send_header("Content-Length", claimed)
            handler.end_headers()
            handler.wfile.write(BLOB)
            handler.close_connection = True
            return True
        return False

    double.lie = lie
    with pytest.raises(BundleError, match=f"has {claimed} bytes, not {len(BLOB)} bytes"):
        read(opened(double))


def test_a_blob_of_another_size_stops_publishing(double: Double, tmp_path: Path) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    copy(source, opened(double), "churn", digest, tag="1")
    blob = max(double.blobs, key=lambda key: len(double.blobs[key]) if key[1] != digest_of(BLOB) else 0)
    double.blobs[blob] = b"short"
    with pytest.raises(BundleError, match="has 5 bytes and not"):
        copy(source, opened(double), "churn", digest, tag="2")
    assert opened(double).read_tag("churn", "2") is None


def test_a_part_that_was_not_asked_for(double: Double) -> None:
    def lie(handler: Handler) -> bool:
        if handler.headers.get("Range"):
            handler.answer(206, BLOB[:10], {"Content-Range": f"bytes 0-9/{len(BLOB)}"})
            return True
        return False

    double.lie = lie
    double.faults.append(Fault("close", "GET", "/blobs/", 50_000))
    with pytest.raises(RegistryError, match="it sends another part than it was asked for"):
        read(opened(double))


def test_a_server_without_ranges_begins_anew(double: Double) -> None:
    def lie(handler: Handler) -> bool:
        if handler.headers.get("Range"):
            handler.answer(200, BLOB)
            return True
        return False

    double.lie = lie
    double.faults.append(Fault("close", "GET", "/blobs/", 50_000))
    assert read(opened(double)) == BLOB


def test_a_manifest_that_was_changed_on_the_way_in(double: Double) -> None:
    double.lie = lambda handler: (
        "/manifests/" in handler.path
        and handler.command == "PUT"
        and bool(handler.body())
        and handler.answer(201, b"", {"Docker-Content-Digest": sha256(b"another")}) is None
    )
    with pytest.raises(BundleError, match="has stored another manifest of churn than was sent"):
        make_bundle(opened(double))


def test_an_attachment_is_what_its_digest_says(double: Double) -> None:
    registry = opened(double)
    digest = make_bundle(registry)
    kept = registry.attach("churn", digest, "application/vnd.example+json", b"one")
    double.blobs["churn", kept.digest] = b"two"
    with pytest.raises(BundleError, match=r"what is attached to churn in .* is damaged"):
        registry.read_attachment("churn", kept)
    assert isinstance(kept, Attachment)


@pytest.mark.parametrize("referrers", [True, False])
def test_a_tag_that_moves_while_it_is_written(double: Double, referrers: bool) -> None:
    """Somebody else writes right after us: seen when it is read again."""
    registry = opened(double)
    first, second = make_bundle(registry), make_bundle(registry, model=b"another")
    mine = registry.set_tag("churn", "prod", first, None)
    theirs = double.manifests["churn", second]
    moved: list[bool] = []

    def lie(handler: Handler) -> bool:
        if handler.command == "HEAD" and moved:
            double.manifests["churn", "prod"] = theirs
        if handler.command == "PUT":
            moved.append(True)
        return False

    double.lie = lie
    third = make_bundle(registry, model=b"a third")
    moved.clear()
    with pytest.raises(TagMovedError, match="churn:prod was moved by somebody else"):
        registry.set_tag("churn", "prod", third, mine)
    assert registry.resolve(parse_reference("churn:prod")) == second


def test_attachments_of_two_at_once_are_both_kept() -> None:
    with running(Double(referrers=False)) as double:
        registry = opened(double)
        digest = make_bundle(registry)
        tag = f"sha256-{digest[7:]}"
        lost: list[Any] = []

        def lie(handler: Handler) -> bool:
            if handler.command == "GET" and tag in handler.path and lost == ["written"]:
                lost.append("overwritten")
                del double.manifests["churn", tag]  # another's index, which knew nothing of ours
            if handler.command == "PUT" and tag in handler.path and not lost:
                lost.append("written")
            return False

        double.lie = lie
        kept = registry.attach("churn", digest, "application/vnd.example+json", b"one")
        assert lost == ["written", "overwritten"]
        assert registry.attachments("churn", digest) == [kept]


# TLS


@pytest.fixture
def authority(tmp_path: Path, require: Any) -> Path:
    """A certificate for localhost that signs itself; its key beside it."""
    require("openssl")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    files = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        tmp_path / "key.pem",
        "-out",
        tmp_path / "ca.pem",
    ]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return tmp_path / "ca.pem"


def test_tls(authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    with running(Double(), tls=context) as double:
        double.blobs["churn", digest_of(BLOB)] = BLOB
        address = parse_address(f"oci+https://{double.host}")
        with pytest.raises(RegistryError, match=r"certificate of .* is not trusted: self.signed certificate"):
            read(OciRegistry(address, QUICK))
        monkeypatch.setenv("MLSHIP_CA_FILE", str(authority))
        certificates.tls.cache_clear()
        assert read(OciRegistry(address, QUICK)) == BLOB
        monkeypatch.setenv("MLSHIP_CA_FILE", str(tmp_path / "key.pem"))
        certificates.tls.cache_clear()
        with pytest.raises(MlshipError, match=r"the certificates in .* cannot be used"):
            read(OciRegistry(address, QUICK))
    certificates.tls.cache_clear()


def test_a_server_without_tls(double: Double) -> None:
    with pytest.raises(RegistryError, match=r"does not speak TLS\. If the way .* write oci\+http://"):
        read(OciRegistry(parse_address(f"oci+https://{double.host}"), QUICK))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://a/t",service="s",scope="x:y:pull,push"',
         [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "x:y:pull,push"})]),
        ('Basic realm="a \\"b\\"", Bearer realm=x',
         [Challenge("basic", {"realm": 'a "b"'}), Challenge("bearer", {"realm": "x"})]),
        ("Negotiate", [Challenge("negotiate")]),
        ("", []),
        ('realm="x"', []),
        ('"', []),
        ('Bearer realm="never closed', [Challenge("bearer")]),
        ("Basic " * 5000, [Challenge("basic")] * 1365),
    ],
)  # fmt: skip
def test_challenges(header: str, found: list[Challenge]) -> None:
    assert parse_challenges(header)[: len(found)] == found


@given(text=text(max_size=300) | text('Basicer="\\\\, \t', max_size=300))
def test_any_header_is_read_without_a_stumble(text: str) -> None:
    for challenge in parse_challenges(text):
        assert challenge.scheme == challenge.scheme.lower() != ""
