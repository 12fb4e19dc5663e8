"""Files that are not, byte for byte, what export writes: each is refused with exit 4 and publishes nothing.

Named after what an attacker, a bad cable or another tool would do; the classes are those of CVE-2007-4559 and
its successors (names, links, devices), of archive readers (headers, lengths, order), of exchanged content.
"""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_bundle import LINUX, MACOS, make_bundle

from mlship.bundle.exchange.export import export_file
from mlship.bundle.exchange.import_file import import_file
from mlship.bundle.exchange.layout import read_index
from mlship.bundle.exchange.referrer import Subject, read_referrer
from mlship.bundle.open import open_bundle
from mlship.digest import sha256
from mlship.errors import BundleError
from mlship.ops.context import Context
from mlship.ops.import_bundle import import_bundle
from mlship.reference import Reference
from mlship.registry.over_store import open_folder
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.ustar import END, header, padding
from mlship_runtime.errors import InvalidBundle

Entries = list[tuple[str, bytes]]
Change = Callable[[Entries], Any]


def packed(entries: Entries) -> bytes:
    return b"".join(raw(name, data) for name, data in entries) + END


def raw(name: str, data: bytes, **fields: bytes) -> bytes:
    """One entry, with a header that `header` might not write."""
    plain = header("x", len(data))
    block = bytearray(plain.replace(b"x", b"\0", 1))
    block[: len(name.encode())] = name.encode()
    places = {"mode": 100, "uid": 108, "size": 124, "mtime": 136, "kind": 156, "link": 157, "magic": 257}
    for field, value in fields.items():
        block[places[field] : places[field] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + padding(len(data))


def blob(data: bytes) -> tuple[str, bytes]:
    return f"blobs/sha256/{sha256(data)[7:]}", data


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    registry = open_folder(f"dir://{folder}/registry")
    registry.set_tag("churn", "1.0", make_bundle(registry), None)
    export_file(open_bundle(registry, Reference("churn", tag="1.0")), folder / "churn.tar")
    return (folder / "churn.tar").read_bytes()


@pytest.fixture
def refused(tmp_path: Path, good: bytes) -> Callable[[bytes], str]:
    def check(data: bytes) -> str:
        assert data != good
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "churn.tar").write_bytes(data)
        url = f"dir://{tmp_path}/in/registry"
        with pytest.raises(BundleError) as caught:
            import_bundle(Context(), tmp_path / "in" / "churn.tar", url)
        assert caught.value.exit_code == 4
        assert str(caught.value).startswith("churn.tar cannot be imported: ")
        assert open_folder(url).names() == []
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
        assert {path.name for path in (tmp_path / "in").iterdir()} <= {"churn.tar", "registry"}
        return str(caught.value)

    return check


def entries_of(data: bytes) -> Entries:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]


def index(**change: Any) -> Change:
    """Another index.json; `first` changes its manifest."""

    def apply(entries: Entries) -> None:
        document = canonical.decode(entries[1][1])
        document["manifests"][0].update(change.pop("first", {}))
        document.update(change)
        entries[1] = (entries[1][0], canonical.encode(document))

    return apply


def manifest(edit: Callable[[dict[str, Any]], Any]) -> Change:
    """Another manifest, under its own digest, which index.json names: only the content is hostile."""

    def apply(entries: Entries) -> None:
        document = canonical.decode(entries[2][1])
        edit(document)
        _renamed(entries, canonical.encode(document))

    return apply


def document(at: int, edit: Callable[[dict[str, Any]], Any]) -> Change:
    """Another config (0) or spec (1), with manifest and index that name it."""

    def apply(entries: Entries) -> None:
        contents = [canonical.decode(entries[3][1]), canonical.decode(entries[4][1])]
        edit(contents[at])
        if at == 1:
            contents[0]["modelfs"]["diffIds"][-1] = sha256(canonical.encode(contents[1]))
        entries[3:5] = [blob(canonical.encode(content)) for content in contents]
        top = canonical.decode(entries[2][1])
        for described, (_, data) in ((top["config"], entries[3]), (top["layers"][-1], entries[4])):
            described |= {"digest": sha256(data), "size": len(data)}
        _renamed(entries, canonical.encode(top))

    return apply


def _renamed(entries: Entries, data: bytes) -> None:
    entries[2] = blob(data)
    index(first={"digest": sha256(data), "size": len(data)})(entries)


def text(at: int, old: bytes, new: bytes) -> Change:
    def apply(entries: Entries) -> None:
        assert old in entries[at][1]
        entries[at] = (entries[at][0], entries[at][1].replace(old, new, 1))

    return apply


def put(at: int, entry: tuple[str, bytes]) -> Change:
    return lambda entries: entries.__setitem__(at, entry)


def renamed(at: int, name: Callable[[str], str]) -> Change:
    return lambda entries: entries.__setitem__(at, (name(entries[at][0]), entries[at][1]))


def notes(**annotations: str) -> Change:
    named = {
        "tag": "org.opencontainers.image.ref.name",
        "platforms": "vnd.mlship.platforms",
        "other": "x.other",
    }
    return index(first={"annotations": {named[key]: value for key, value in annotations.items()}})


LAYER, LAST = 5, -1
CHANGES: dict[str, tuple[Change, str]] = {
    # What is missing, too many, or in another order.
    "order: nothing at all": (list.clear, "ends where oci-layout should come"),
    "order: no oci-layout": (lambda e: e.pop(0), "where oci-layout should come"),
    "order: no index": (lambda e: e.pop(1), "where index.json should come"),
    "order: no manifest": (lambda e: e.pop(2), "should come"),
    "order: no config": (lambda e: e.pop(3), "should come"),
    "order: no spec": (lambda e: e.pop(4), "should come"),
    "order: no model layer": (lambda e: e.pop(LAYER), "should come"),
    "order: no last layer": (lambda e: e.pop(), "ends where"),
    "order: only the index": (lambda e: e.__delitem__(slice(2, None)), "ends where"),
    "order: a layer twice": (lambda e: e.insert(LAYER, e[LAYER]), "should come"),
    "order: a layer twice at the end": (lambda e: e.append(e[LAYER]), "more than its bundle"),
    "order: a foreign blob at the end": (lambda e: e.append(blob(b"x")), "more than its bundle"),
    "order: a foreign file first": (lambda e: e.insert(0, ("README", b"")), "'README' where oci-layout"),
    "order: a second index": (lambda e: e.insert(2, e[1]), "'index.json' where blobs"),
    "order: a manifest.json as docker has it": (lambda e: e.append(("manifest.json", b"[]")), "more than"),
    "order: layers in another order": (lambda e: e.insert(LAYER, e.pop()), "should come"),
    "order: config and spec exchanged": (lambda e: e.insert(3, e.pop(4)), "should come"),
    # Names.
    "name: a name that climbs": (
        renamed(LAYER, lambda n: "../" + n),
        "is not one that mlship writes|not allowed",
    ),
    "name: a name that climbs from within": (
        renamed(LAYER, lambda n: "blobs/../../" + n),
        "not allowed|not one",
    ),
    "name: an absolute name": (renamed(LAYER, lambda n: "/" + n), "not allowed|not one"),
    "name: a name with a dot before": (renamed(LAYER, lambda n: "./" + n), "not allowed|not one"),
    "name: a name with backslashes": (renamed(LAYER, lambda n: n.replace("/", "\\")), "not allowed|not one"),
    "name: a drive letter": (renamed(LAYER, lambda n: "C:/" + n), "not allowed|not one"),
    "name: a digest in capitals": (renamed(LAYER, str.upper), "should come"),
    "name: another algorithm": (renamed(LAYER, lambda n: n.replace("sha256", "sha512")), "should come"),
    "name: a name with a new line": (renamed(LAYER, lambda n: n + "\n"), "not allowed|not one"),
    "name: a name that ends in a space": (renamed(LAYER, lambda n: n + " "), "not allowed|not one"),
    "name: two slashes": (renamed(LAYER, lambda n: n.replace("/", "//")), "not allowed|not one"),
    "name: direction characters": (renamed(LAYER, lambda n: "\u202e" + n), "not allowed|not one"),
    # oci-layout.
    "layout: another version of the layout": (text(0, b"1.0.0", b"2.0.0"), "another version"),
    "layout: a layout with more in it": (
        put(0, ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}\n')),
        "has 31 bytes",
    ),
    "layout: a layout of a gigabyte": (put(0, ("oci-layout", bytes(1 << 20))), "at most 30 are read"),
    # index.json.
    "index: an index that is no JSON": (put(1, ("index.json", b"{")), "JSON"),
    "index: an index that is a list": (put(1, ("index.json", b"[]")), "not an object"),
    "index: an empty index": (put(1, ("index.json", b"{}")), "manifests"),
    "index: an index beyond its limit": (put(1, ("index.json", b" " * 65_537)), "at most 65536"),
    "index: an index with a key twice": (
        text(1, b'{"manifests"', b'{"schemaVersion":2,"manifests"'),
        "twice",
    ),
    "index: an index a thousand levels deep": (
        put(1, ("index.json", b"[" * 1000 + b"]" * 1000)),
        "levels deep",
    ),
    "index: an index with NaN": (put(1, ("index.json", b'{"manifests":NaN}')), "NaN"),
    "index: an index in another form": (
        text(1, b'{"manifests"', b'{ "manifests"'),
        "not one that mlship writes",
    ),
    "index: no manifests": (index(manifests=[]), "lists no manifest"),
    "index: the manifest twice": (
        lambda e: index(manifests=canonical.decode(e[1][1])["manifests"] * 2)(e),
        "not one",
    ),
    "index: a thousand manifests": (
        lambda e: index(manifests=canonical.decode(e[1][1])["manifests"] + [{}] * 101)(e),
        "lists 102 manifests",
    ),
    "index: another schema": (index(schemaVersion=3), "not one that mlship writes"),
    "index: an index with a subject": (index(subject={}), "not one that mlship writes"),
    "index: a manifest list inside": (
        index(first={"mediaType": "application/vnd.oci.image.index.v1+json"}),
        "not one",
    ),
    "index: a digest that is a path": (
        index(first={"digest": "sha256:../../etc/passwd"}),
        "not a sha256 digest",
    ),
    "index: a digest of another algorithm": (
        index(first={"digest": "sha512:" + "0" * 64}),
        "not a sha256 digest",
    ),
    "index: the digest of another manifest": (index(first={"digest": "sha256:" + "0" * 64}), "should come"),
    "index: the size of another manifest": (index(first={"size": 7}), "not what its digest says"),
    "index: a negative size": (index(first={"size": -1}), "whole number"),
    "index: a size that is a truth": (index(first={"size": True}), "whole number"),
    "index: a data field": (index(first={"data": "e30="}), "not one that mlship writes"),
    "index: urls to fetch": (index(first={"urls": ["http://127.0.0.1/"]}), "not one that mlship writes"),
    "index: a tag that is a path": (notes(tag="../../x"), "not a tag"),
    "index: a tag with a new line": (notes(tag="1.0\n"), "not a tag"),
    "index: an unknown annotation": (notes(tag="1.0", other="x"), "not one that mlship writes"),
    "index: platforms that the manifest has not": (
        notes(platforms="linux-s390x-cp311-gnu2.28"),
        "other platforms",
    ),
    "index: platforms in another order": (notes(platforms=f"{MACOS},{LINUX}"), "other platforms"),
    "index: a platform twice": (notes(platforms=f"{LINUX},{LINUX}"), "other platforms"),
    "index: all platforms, said as some": (notes(platforms=f"{LINUX},{MACOS}"), "other platforms"),
    # The manifest, whole by its digest.
    "manifest: a manifest of another digest": (text(2, b'"size":', b'"size" :'), "not what its digest says"),
    "manifest: a manifest that is no JSON": (lambda e: _renamed(e, b"{}{"), "JSON"),
    "manifest: a manifest of another artifact": (
        manifest(lambda m: m.update(artifactType="x/y")),
        "artifactType",
    ),
    "manifest: a bundle called like a path": (
        manifest(lambda m: m["annotations"].update({"org.opencontainers.image.title": "../x"})),
        "not a name|different bundles",
    ),
    "manifest: a bundle in capitals": (
        manifest(lambda m: m["annotations"].update({"org.opencontainers.image.title": "Churn"})),
        "not a name",
    ),
    "manifest: a manifest with a layer less": (manifest(lambda m: m["layers"].pop(0)), "no model layer"),
    "manifest: a manifest with a layer twice": (
        manifest(lambda m: m["layers"].insert(0, m["layers"][0])),
        "the same digest",
    ),
    "manifest: a manifest with a size too large": (
        manifest(lambda m: m["layers"][0].update(size=2**40)),
        "where the manifest says|disagree|other",
    ),
    "manifest: a manifest with a size too small": (
        manifest(lambda m: m["layers"][0].update(size=1)),
        "where the manifest says",
    ),
    "manifest: a layer of another role": (
        manifest(lambda m: m["layers"][0]["annotations"].update({"vnd.mlship.role": "x"})),
        "unknown, or of a newer",
    ),
    "manifest: a config of terabytes": (
        manifest(lambda m: m["config"].update(size=2**42)),
        "not what its digest",
    ),
    "manifest: config and spec in one": (
        manifest(lambda m: m["config"].update(digest=m["layers"][-1]["digest"])),
        "should come|one blob",
    ),
    # Config and spec, whole by their digests.
    "document: a config of other layers": (
        document(0, lambda c: c["modelfs"]["diffIds"].reverse()),
        "other layers",
    ),
    "document: a config without layers": (document(0, lambda c: c.pop("modelfs")), "other layers"),
    "document: a spec of another bundle": (
        document(1, lambda s: s.update(name="other")),
        "different bundles",
    ),
    "document: a spec of a newer mlship": (document(1, lambda s: s.update(schemaVersion=99)), "newer mlship"),
    "document: a spec without an index": (document(1, lambda s: s.update(files={})), "other layers"),
    "document: a spec whose files climb": (
        document(1, lambda s: next(iter(s["files"].values()))[0].__setitem__(0, "../x")),
        "not allowed",
    ),
    # Layers.
    "layer: a layer exchanged": (
        lambda e: e.__setitem__(LAYER, (e[LAYER][0], e[LAST][1])),
        "digest|bytes where",
    ),
    "layer: a layer with one bit changed": (
        text(LAYER, b"a model", b"a mode\x6d"),
        "not what its digest says",
    ),
    "layer: a layer cut short": (
        lambda e: e.__setitem__(LAYER, (e[LAYER][0], e[LAYER][1][:-512])),
        "bytes where",
    ),
    "layer: a layer with more": (
        lambda e: e.__setitem__(LAYER, (e[LAYER][0], e[LAYER][1] + bytes(512))),
        "bytes where",
    ),
    "layer: an empty layer": (lambda e: e.__setitem__(LAYER, (e[LAYER][0], b"")), "bytes where"),
    "layer: a config exchanged": (lambda e: e.__setitem__(3, (e[3][0], e[4][1])), "not what its digest says"),
}


@pytest.mark.parametrize(("change", "why"), CHANGES.values(), ids=CHANGES)
def test_other_content(change: Change, why: str, good: bytes, refused: Callable[[bytes], str]) -> None:
    entries = entries_of(good)
    change(entries)
    said = refused(packed(entries))
    assert any(part in said for part in why.split("|")), said


def inserted(entry: bytes) -> Callable[[bytes], bytes]:
    """`entry` where the first layer would come."""

    def apply(data: bytes) -> bytes:
        entries = entries_of(data)
        head = b"".join(raw(*entry) for entry in entries[:LAYER])
        return head + entry + packed(entries[LAYER:])

    return apply


NAME = "blobs/sha256/" + "0" * 64
RAW: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an empty file": (lambda _: b"", "ends in its middle"),
    "no tar at all": (lambda _: b"hello" * 1000, "not one that mlship writes"),
    "compressed": (lambda data: gzip.compress(data, mtime=0), "not one that mlship writes"),
    "a symbolic link": (inserted(raw(NAME, b"", kind=b"2", link=b"/etc/passwd")), "a symbolic link"),
    "a hard link": (inserted(raw(NAME, b"", kind=b"1", link=b"index.json")), "a hard link"),
    "a folder": (inserted(raw("blobs/", b"", kind=b"5")), "a folder"),
    "a pipe": (inserted(raw(NAME, b"", kind=b"6")), "a pipe"),
    "a character device": (inserted(raw(NAME, b"", kind=b"3")), "a character device"),
    "a block device": (inserted(raw(NAME, b"", kind=b"4")), "a block device"),
    "a PAX record": (inserted(raw("x", b"13 path=/etc\n", kind=b"x")), "a PAX record"),
    "a PAX record for all": (inserted(raw("x", b"13 path=/etc\n", kind=b"g")), "a PAX record"),
    "a GNU long name": (inserted(raw("././@LongLink", b"/etc/passwd\0", kind=b"L")), "a GNU long name"),
    "a GNU long link": (inserted(raw("././@LongLink", b"/etc/passwd\0", kind=b"K")), "a GNU long link"),
    "a sparse file": (inserted(raw(NAME, b"", kind=b"S")), "a sparse file"),
    "an unknown kind": (inserted(raw(NAME, b"", kind=b"Z")), "not one that mlship writes"),
    "the old kind of a file": (inserted(raw(NAME, b"", kind=b"\0")), "not one that mlship writes"),
    "a program that runs as root": (inserted(raw(NAME, b"", mode=b"0004755")), "not one that mlship writes"),
    "an owner": (inserted(raw(NAME, b"", uid=b"0001750")), "not one that mlship writes"),
    "a time": (inserted(raw(NAME, b"", mtime=b"00000000001")), "not one that mlship writes"),
    "GNU's magic": (inserted(raw(NAME, b"", magic=b"ustar  \0")), "not one that mlship writes"),
    "a size in base 256": (inserted(raw(NAME, b"", size=b"\x80" + bytes(10) + b"\x01")), "not one that"),
    "a negative size": (inserted(raw(NAME, b"", size=b"-0000000001")), "not one that mlship writes"),
    "a size beyond the file": (inserted(raw(NAME, b"", size=b"77777777777")), "should come"),
    "a wrong checksum": (lambda data: data[:148] + b"000000\0 " + data[156:], "not one that mlship writes"),
    "no end": (lambda data: data[:-1024], "ends in its middle"),
    "half an end": (lambda data: data[:-512], "ends in its middle"),
    "an end and more": (lambda data: data + b"\0", "bytes after its end"),
    "blocks of ten kilobytes": (lambda data: data + bytes(-len(data) % 10240 or 512), "bytes after its end"),
    "the file twice": (lambda data: data + data, "bytes after its end"),
    "an end in the middle": (inserted(END), "bytes after its end"),
    "one empty block in the middle": (inserted(bytes(512)), "one empty block"),
    "padding that is not zero": (lambda data: data[:1023] + b"x" + data[1024:], "padding"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "why"), RAW.values(), ids=RAW)
def test_other_tars(
    change: Callable[[bytes], bytes], why: str, good: bytes, refused: Callable[[bytes], str]
) -> None:
    said = refused(change(good))
    assert why in said


def test_cut_at_every_block(good: bytes, refused: Callable[[bytes], str]) -> None:
    for end in range(0, len(good), 512):
        refused(good[:end])
        refused(good[: end + 1]) if end + 1 < len(good) else None


def test_a_bit_changed_anywhere(good: bytes, refused: Callable[[bytes], str]) -> None:
    """But in the tag, which is a name and no part of the digest. tests/faults takes every bit."""
    chance, tag = random.Random(7), good.index(b'ref.name":"1.0"') + len(b'ref.name":"')
    places = [*range(0, 5 * 512, 31), *(chance.randrange(len(good)) for _ in range(60))]
    for at in places:
        if tag <= at < tag + 3:
            continue
        data = bytearray(good)
        data[at] ^= 1 << chance.randrange(8)
        refused(bytes(data))


PARTS: dict[str, tuple[Change, str]] = {
    "one platform announced, all there": (notes(platforms=LINUX), "should come|more than its bundle"),
    "the other platform announced": (lambda e: (notes(platforms=MACOS)(e), e.pop(-2)), "should come"),
    "no platform announced, one missing": (lambda e: e.pop(-2), "should come"),
    "an empty list of platforms": (notes(platforms=""), "other platforms"),
    "a platform with a space": (notes(platforms=f"{LINUX} "), "other platforms"),
    "one platform announced, the common layer missing": (
        lambda e: (notes(platforms=LINUX)(e), e.pop(-2), e.pop(LAYER + 2)),
        "should come",
    ),
}


@pytest.mark.parametrize(("change", "why"), PARTS.values(), ids=PARTS)
def test_parts_that_are_not_what_they_say(change: Change, why: str, good: bytes, tmp_path: Path) -> None:
    """Into a store that keeps parts, too."""
    entries = entries_of(good)
    change(entries)
    own = open_folder(f"dir://{tmp_path}/own")
    with pytest.raises((BundleError, InvalidBundle)) as caught:
        import_file(io.BytesIO(packed(entries)), own, partial_sink=own)
    assert any(part in str(caught.value) for part in why.split("|")), caught.value
    assert own.names() == []


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with two attachments: its last five entries are the empty config and twice manifest, content."""
    folder = tmp_path_factory.mktemp("signed")
    registry = open_folder(f"dir://{folder}/registry")
    digest = make_bundle(registry)
    registry.set_tag("churn", "1.0", digest, None)
    for kind, data in (("a/first", b"1st"), ("b/second", b"second")):
        registry.attach("churn", digest, kind, data)
    export_file(open_bundle(registry, Reference("churn", tag="1.0")), folder / "churn.tar")
    return (folder / "churn.tar").read_bytes()


EMPTY, FIRST, SECOND = -5, -4, -2


def attachment(edit: Callable[[dict[str, Any]], Any], at: int = FIRST) -> Change:
    """Another manifest of an attachment, which index.json names."""

    def apply(entries: Entries) -> None:
        document = canonical.decode(entries[at][1])
        edit(document)
        entries[at] = blob(canonical.encode(document))
        listed = {"digest": sha256(entries[at][1]), "size": len(entries[at][1])}
        if document["artifactType"]:
            listed["artifactType"] = document["artifactType"]
        attached(at, **listed)(entries)

    return apply


def attached(at: int = FIRST, **change: Any) -> Change:
    """Another entry of index.json for an attachment."""

    def apply(entries: Entries) -> None:
        document = canonical.decode(entries[1][1])
        document["manifests"][1 if at == FIRST else 2].update(change)
        entries[1] = (entries[1][0], canonical.encode(document))

    return apply


def content(data: bytes) -> Change:
    """Another content, honestly described."""

    def apply(entries: Entries) -> None:
        entries[FIRST + 1] = blob(data)
        described = {"digest": sha256(data), "size": len(data)}
        attachment(lambda document: document["layers"][0].update(described))(entries)

    return apply


def exchanged(entries: Entries) -> None:
    """Both attachments in the other order."""
    document = canonical.decode(entries[1][1])
    document["manifests"][1:] = reversed(document["manifests"][1:])
    entries[1] = (entries[1][0], canonical.encode(document))
    entries[FIRST:] = [*entries[SECOND:], *entries[FIRST:SECOND]]


def twice(entries: Entries) -> None:
    document = canonical.decode(entries[1][1])
    document["manifests"].append(document["manifests"][2])
    entries[1] = (entries[1][0], canonical.encode(document))


OTHER_SUBJECT = {"digest": "sha256:" + "0" * 64}
ATTACHED: dict[str, tuple[Change, str]] = {
    "an attachment of another bundle": (
        attachment(lambda d: d["subject"].update(OTHER_SUBJECT)),
        "of another bundle",
    ),
    "an attachment of nothing": (attachment(lambda d: d.pop("subject")), "'subject' is missing"),
    "a subject of another size": (attachment(lambda d: d["subject"].update(size=1)), "not one that mlship"),
    "a subject of another type": (attachment(lambda d: d["subject"].update(mediaType="a/b")), "not one that"),
    "an attachment of a gigabyte": (
        attachment(lambda d: d["layers"][0].update(size=1 << 30)),
        "at most 50331648 are",
    ),
    "a content cut short": (lambda e: e.__setitem__(-3, (e[-3][0], b"1s")), "not what its digest says"),
    "a content with more": (lambda e: e.__setitem__(-3, (e[-3][0], b"1st!")), "at most 3 are read"),
    "another content": (lambda e: e.__setitem__(-3, (e[-3][0], b"2nd")), "not what its digest says"),
    "a content that is not there": (lambda e: e.pop(-3), "should come"),
    "a manifest that is not there": (lambda e: e.pop(FIRST), "should come"),
    "an attachment that index.json does not list": (
        lambda e: index(manifests=canonical.decode(e[1][1])["manifests"][:2])(e),
        "more than its bundle",
    ),
    "the attachments not listed": (
        lambda e: index(manifests=canonical.decode(e[1][1])["manifests"][:1])(e),
        "more than its bundle",
    ),
    "the attachments listed and left out": (lambda e: e.__delitem__(slice(EMPTY, None)), "ends where"),
    "no empty config": (lambda e: e.pop(EMPTY), "should come"),
    "another empty config": (lambda e: e.__setitem__(EMPTY, (e[EMPTY][0], b"[]")), "not what its digest"),
    "an attachment before the layers": (lambda e: e.insert(LAYER, e.pop(SECOND)), "should come"),
    "the attachments in another order": (exchanged, "out of order"),
    "an attachment twice": (twice, "out of order"),
    "a manifest of an attachment with more in it": (
        attachment(lambda d: d.update(annotations={})),
        "not one",
    ),
    "a manifest of an attachment beyond its limit": (
        attachment(lambda d: d.update(annotations={"x": "x" * 5000})),
        "has 5",
    ),
    "two layers": (attachment(lambda d: d.update(layers=d["layers"] * 2)), "not exactly one"),
    "no layer": (attachment(lambda d: d.update(layers=[])), "not exactly one"),
    "a config that is not empty": (attachment(lambda d: d["config"].update(size=3)), "not one that mlship"),
    "a layer of another type": (attachment(lambda d: d["layers"][0].update(mediaType="c/d")), "not one that"),
    "a type in index.json alone": (attached(artifactType="c/d"), "is a/first, not c/d"),
    "a type that is none": (attachment(lambda d: d.update(artifactType="x")), "not a media type"),
    "a type with a new line": (attachment(lambda d: d.update(artifactType="a/b\nc")), "not a media type"),
    "no type": (attachment(lambda d: d.update(artifactType="")), "not a text|artifactType"),
    "an index inside": (attached(mediaType="application/vnd.oci.image.index.v1+json"), "not one that mlship"),
    "a digest of a manifest that is a path": (attached(digest="sha256:../../x"), "not a sha256 digest"),
    "the digest of another attachment": (attached(digest="sha256:" + "0" * 64), "should come"),
    "a size that is not its own": (attached(size=7), "at most 7 are read"),
    "an attachment with data in the index": (attached(data="e30="), "not one that mlship writes"),
    "an attachment that repeats the spec": (
        lambda e: content(e[4][1])(e),
        "repeats a blob",
    ),
    "an attachment that is the empty config": (
        lambda e: (content(b"{}")(e), e.pop(FIRST + 1)),
        "repeats a blob",
    ),
}


@pytest.mark.parametrize(("change", "why"), ATTACHED.values(), ids=ATTACHED)
def test_other_attachments(change: Change, why: str, signed: bytes, refused: Callable[[bytes], str]) -> None:
    entries = entries_of(signed)
    assert packed(entries) == signed
    change(entries)
    said = refused(packed(entries))
    assert any(part in said for part in why.split("|")), said


def test_too_many_attachments(
    signed: bytes, refused: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlship.bundle.exchange.attached.MAX_ATTACHED", 8)
    assert "9 bytes are attached, where at most 8 can be" in refused(signed)


def test_a_bit_changed_in_what_is_attached(
    signed: bytes, refused: Callable[[bytes], str], tmp_path: Path
) -> None:
    chance, begin = random.Random(11), signed.index(b"1st") - 4 * 512
    for at in [*range(begin, len(signed) - 1024, 13), *chance.sample(range(begin, len(signed)), 100)]:
        data = bytearray(signed)
        data[at] ^= 1 << chance.randrange(8)
        refused(bytes(data))


@given(st.binary(max_size=300))
def test_any_bytes_as_the_manifest_of_an_attachment(data: bytes) -> None:
    with pytest.raises(InvalidBundle):
        read_referrer(data, Subject("sha256:" + "0" * 64, 1))


@given(st.binary(max_size=300))
def test_any_bytes_as_an_index(data: bytes) -> None:
    with pytest.raises(InvalidBundle):
        read_index(data)
