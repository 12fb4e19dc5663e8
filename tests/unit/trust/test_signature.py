"""A signature is of one bundle, by one key, and of nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sample_signing import Signer, sample

import mlship_runtime
from mlship.bundle.open import OpenBundle
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.spec import read_spec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.envelope import read_envelope
from mlship_runtime.trust.keys import read_public_key
from mlship_runtime.trust.signature import verify_signature
from mlship_runtime.trust.statement import read_statement, statement_of, write_statement

SIGNER, OTHER = Signer(11), Signer(12)
KEYS = [OTHER.key, SIGNER.key]
FOREIGN = Path(__file__).resolve().parents[2] / "samples" / "model_signing_1_1_1"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return sample(tmp_path_factory.mktemp("bundle"))


def flipped(data: bytes, step: int = 61) -> Iterator[bytes]:
    """`data` with every `step`-th of its bits the other way; tests/faults takes all of them."""
    for index in range(0, len(data) * 8, step):
        changed = bytearray(data)
        changed[index // 8] ^= 1 << index % 8
        yield bytes(changed)


def check(bundle: OpenBundle, envelope: bytes, keys: Any = KEYS) -> Any:
    return verify_signature(envelope, keys, bundle.manifest_bytes, bundle.spec)


def test_who_signed_is_told(bundle: OpenBundle) -> None:
    signed = check(bundle, SIGNER.sign(bundle))
    assert signed.key == SIGNER.key
    assert signed.statement.subject == "churn:1.0"
    assert set(signed.statement.resources) == {
        "manifest.json",
        "mlship.json",
        *(entry.path for entries in bundle.spec.files.values() for entry in entries),
    }
    assert signed.statement.resources["manifest.json"] == bundle.digest.partition(":")[2]


def test_signing_twice_gives_the_same_file(bundle: OpenBundle) -> None:
    assert SIGNER.sign(bundle) == SIGNER.sign(bundle)


def test_the_signature_of_another_tool_is_read() -> None:
    """Made by `model_signing sign key` 1.1.1 over the unpacked files of a bundle."""
    key = read_public_key((FOREIGN / "signer.pub").read_bytes())
    manifest, spec = ((FOREIGN / name).read_bytes() for name in ("manifest.json", "mlship.json"))
    envelope = (FOREIGN / "churn.sig").read_bytes()
    assert verify_signature(envelope, [key], manifest, read_spec(spec)).key == key
    with pytest.raises(InvalidBundle, match="another key"):
        verify_signature(envelope, [SIGNER.key], manifest, read_spec(spec))


def test_another_key_is_refused(bundle: OpenBundle) -> None:
    with pytest.raises(InvalidBundle, match="another key"):
        check(bundle, SIGNER.sign(bundle), [OTHER.key])
    with pytest.raises(InvalidBundle, match="another key"):
        check(bundle, SIGNER.sign(bundle), [])


def test_a_key_under_the_name_of_another_is_refused(bundle: OpenBundle) -> None:
    forged = changed(OTHER.sign(bundle), lambda e: named(e, SIGNER.key.id))
    with pytest.raises(InvalidBundle, match="does not hold"):
        check(bundle, forged)
    unnamed = changed(OTHER.sign(bundle), lambda e: e["verificationMaterial"].update(publicKey={}))
    assert check(bundle, unnamed).key == OTHER.key
    with pytest.raises(InvalidBundle, match="does not hold"):
        check(bundle, unnamed, [SIGNER.key])


@pytest.mark.parametrize("different", [{"model": b"another model"}, {"version": "1.1"}])
def test_the_signature_of_another_bundle_is_refused(
    bundle: OpenBundle, tmp_path: Path, different: Any
) -> None:
    with pytest.raises(InvalidBundle, match="of another bundle"):
        check(bundle, SIGNER.sign(sample(tmp_path, **different)))


def test_a_bit_of_the_file_counts(bundle: OpenBundle) -> None:
    envelope = SIGNER.sign(bundle)
    for data in flipped(envelope):
        with pytest.raises(InvalidBundle):
            check(bundle, data, [SIGNER.key])


def test_a_bit_of_the_manifest_counts(bundle: OpenBundle) -> None:
    envelope = SIGNER.sign(bundle)
    for data in flipped(bundle.manifest_bytes):
        with pytest.raises(InvalidBundle):
            verify_signature(envelope, KEYS, data, bundle.spec)


def test_cut_off_files_are_refused(bundle: OpenBundle) -> None:
    envelope = SIGNER.sign(bundle)
    for length in range(0, len(envelope), 7):
        with pytest.raises(InvalidBundle):
            check(bundle, envelope[:length])
    with pytest.raises(InvalidBundle):
        check(bundle, envelope + b"{}")


@given(st.binary(max_size=400))
def test_noise_is_refused(bundle: OpenBundle, data: bytes) -> None:
    with pytest.raises(InvalidBundle):
        check(bundle, data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=400)
@given(st.data())
def test_any_part_exchanged_for_anything_is_refused(bundle: OpenBundle, data: st.DataObject) -> None:
    """In the envelope, and in a statement that is well signed."""
    payload = write_statement(statement_of(bundle.manifest_bytes, bundle.spec))
    whole = data.draw(st.booleans())
    document = json.loads(SIGNER.sign(bundle) if whole else payload)
    place, last = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[last], dict | list) and place[last] and data.draw(st.booleans()):
        place = place[last]
        keys = range(len(place)) if isinstance(place, list) else sorted(place)
        last = data.draw(st.sampled_from(list(keys)))
    value = data.draw(_JSON)
    assume(value != place[last] and last not in ("ignore_paths", "name", "keyid"))
    assume(not (last == "publicKey" and value == {}))
    place[last] = value
    text = json.dumps(document).encode()
    with pytest.raises(InvalidBundle):
        check(bundle, text if whole else SIGNER.envelope(text))


def other_python(version: str) -> str:
    """Another interpreter of this machine; skips the test where there is none."""
    beside = Path(sys.base_prefix).parent  # pyenv keeps them side by side
    found = [*map(str, sorted(beside.glob(f"{version}*/bin/python{version}"))), f"python{version}"]
    for python in found:
        if shutil.which(python) and not subprocess.run([python, "-c", ""], capture_output=True).returncode:
            return python
    return pytest.skip(f"no Python {version} here: install it (pyenv, or the system's package)")


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_other_pythons_check_it_too(bundle: OpenBundle, tmp_path: Path, version: str) -> None:
    """On a host that has nothing but that Python, of which no package is read."""
    python = other_python(version)
    parts = {
        "envelope": SIGNER.sign(bundle),
        "key": SIGNER.key.pem,
        "manifest": bundle.manifest_bytes,
        "spec": b"".join(bundle.blob(bundle.manifest.spec_layer.digest)),
    }
    for name, part in parts.items():
        (tmp_path / name).write_bytes(part)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mlship_runtime.bundle.spec import read_spec\n"
        "from mlship_runtime.trust.keys import read_public_key\n"
        "from mlship_runtime.trust.signature import verify_signature\n"
        "sent = {name: open(name, 'rb').read() for name in ('envelope', 'key', 'manifest', 'spec')}\n"
        "keys, spec = [read_public_key(sent['key'])], read_spec(sent['spec'])\n"
        "print(verify_signature(sent['envelope'], keys, sent['manifest'], spec).key.id)\n"
    )
    source = str(Path(mlship_runtime.__file__).parents[1])
    done = subprocess.run(
        [python, "-I", "-S", "-c", code, source], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == (SIGNER.key.id, "")


def changed(envelope: bytes, change: Callable[[Any], Any]) -> bytes:
    document = json.loads(envelope)
    change(document)
    return canonical.encode(document)


def named(document: Any, key_id: str) -> None:
    document["verificationMaterial"]["publicKey"]["hint"] = key_id


def inner(document: Any) -> Any:
    return document["dsseEnvelope"]


ENVELOPES: dict[str, Callable[[Any], Any]] = {
    "another media type": lambda e: e.update(mediaType="application/json"),
    "a key more": lambda e: e.update(more=1),
    "no envelope": lambda e: e.pop("dsseEnvelope"),
    "another payload type": lambda e: inner(e).update(payloadType="application/vnd.mlship.channel+json"),
    "no signature": lambda e: inner(e).update(signatures=[]),
    "two signatures": lambda e: inner(e)["signatures"].append(inner(e)["signatures"][0]),
    "an empty signature": lambda e: inner(e)["signatures"][0].update(sig=""),
    "a key id": lambda e: inner(e)["signatures"][0].update(keyid="someone"),
    "spaces in base64": lambda e: inner(e).update(payload=inner(e)["payload"] + "\n"),
    "not base64": lambda e: inner(e).update(payload="ä"),
    "a certificate": lambda e: e["verificationMaterial"].update(certificate={"rawBytes": ""}),
    "a log entry": lambda e: e["verificationMaterial"].update(tlogEntries=[{}]),
    "a time stamp": lambda e: e["verificationMaterial"].update(timestampVerificationData={}),
    "no material": lambda e: e.pop("verificationMaterial"),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_other_envelopes_are_refused(bundle: OpenBundle, name: str) -> None:
    with pytest.raises(InvalidBundle):
        check(bundle, changed(SIGNER.sign(bundle), ENVELOPES[name]))


def first(statement: Any) -> Any:
    return statement["predicate"]["resources"][0]


def exchange(statement: Any, key: str) -> None:
    """Two files take each other's place: the sum over the digests in their order may stay as it is."""
    one, other = statement["predicate"]["resources"][:2]
    one[key], other[key] = other[key], one[key]


def forget(statement: Any) -> None:
    statement["predicate"]["resources"].pop()


def add(statement: Any) -> None:
    statement["predicate"]["resources"].append({**first(statement), "name": "model/planted.onnx"})


STATEMENTS: dict[str, Callable[[Any], Any]] = {
    "another statement type": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "provenance": lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
    "an older predicate": lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
    "no subject": lambda s: s.update(subject=[]),
    "two subjects": lambda s: s["subject"].append(s["subject"][0]),
    "a missing resource": forget,
    "an added resource": add,
    "names exchanged": lambda s: exchange(s, "name"),
    "digests exchanged": lambda s: exchange(s, "digest"),
    "a resource twice": lambda s: s["predicate"]["resources"].append(first(s)),
    "another algorithm": lambda s: first(s).update(algorithm="blake2b"),
    "a path that climbs": lambda s: first(s).update(name="../" + first(s)["name"]),
    "capitals in a digest": lambda s: first(s).update(digest=first(s)["digest"].upper()),
    "no resources": lambda s: s["predicate"].update(resources=[]),
    "shards": lambda s: s["predicate"]["serialization"].update(method="shards"),
    "links allowed": lambda s: s["predicate"]["serialization"].update(allow_symlinks=True),
    "a key more": lambda s: s["predicate"].update(more=1),
}


@pytest.mark.parametrize("resum", [False, True], ids=["as it was", "summed again"])
@pytest.mark.parametrize("name", STATEMENTS)
def test_other_statements_are_refused_though_well_signed(bundle: OpenBundle, name: str, resum: bool) -> None:
    statement = json.loads(write_statement(statement_of(bundle.manifest_bytes, bundle.spec)))
    STATEMENTS[name](statement)
    if resum and len(statement["subject"]) == 1:
        statement["subject"][0]["digest"]["sha256"] = summed(statement)
    with pytest.raises(InvalidBundle):
        check(bundle, SIGNER.envelope(canonical.encode(statement)))


def summed(statement: Any) -> str:
    digests = (bytes.fromhex(resource["digest"]) for resource in statement["predicate"]["resources"])
    return hashlib.sha256(b"".join(digests)).hexdigest()


def test_a_statement_with_a_key_twice_is_refused(bundle: OpenBundle) -> None:
    payload = write_statement(statement_of(bundle.manifest_bytes, bundle.spec))
    twice = payload[:-1] + b',"predicateType":"https://model_signing/signature/v1.0"}'
    with pytest.raises(InvalidBundle, match="twice"):
        check(bundle, SIGNER.envelope(twice))


def test_what_is_read_is_what_was_written(bundle: OpenBundle) -> None:
    statement = statement_of(bundle.manifest_bytes, bundle.spec)
    assert read_statement(write_statement(statement)) == statement
    document = json.loads(SIGNER.sign(bundle))
    assert base64.b64decode(inner(document)["payload"]) == read_envelope(SIGNER.sign(bundle)).payload
