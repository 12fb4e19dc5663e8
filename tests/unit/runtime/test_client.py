"""The client: what it sends and reads, on a real server; connections that end, drip or hang; TLS; tokens."""

from __future__ import annotations

import array
import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.client import Client, Line, Refused, Request, Unanswered
from mlship_runtime.errors import BadInput
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.application import Application

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def client_of(start):
    """client_of(application) -> Client of a running server"""
    with contextlib.ExitStack() as stack:
        yield lambda application, **options: stack.enter_context(
            Client(f"http://127.0.0.1:{start(application).port}", **options)
        )


class TestInfer:
    @pytest.mark.parametrize(
        "x",
        [
            np.float32([[1, 2], [3, 4]]),
            np.asfortranarray(np.float32([[1, 2], [3, 4]])),
            np.float32([[1, 9, 2], [3, 9, 4]])[:, ::2],
            memoryview(array.array("f", [1, 2, 3, 4])).cast("B").cast("f", (2, 2)),
            np.int16([[1, 2], [3, 4]]),
            np.array([[1, 2], [3, 4]], ">f4"),
            [[1, 2], [3, 4]],
            ((1.0, 2.0), [3.0, 4.0]),
        ],
    )
    def test_arrays_and_lists(self, client_of, matrix, x):
        answer = client_of(matrix.application).infer("tiny", {"X": x}, id="a")
        assert (answer.id, answer.digest) == ("a", matrix.application._pipeline.digest)
        assert {name: tensor.tolist() for name, tensor in answer.outputs.items()} == {
            "label": [[1], [1]],
            "sum": [[3.0], [7.0]],
        }
        assert (answer["sum"].datatype, answer["sum"].shape) == ("FP32", (2, 1))

    def test_what_comes_as_bytes_is_an_array_without_a_copy(self, client_of, matrix):
        answer = client_of(matrix.application).infer("tiny", {"X": np.float32([[1, 2]])}, outputs=["sum"])
        assert list(answer.outputs) == ["sum"]
        assert np.asarray(answer["sum"].data).dtype == np.float32

    def test_missing_values_and_texts(self, client_of, table):
        inputs = {"age": np.int64([40, 2]), "height": [None, 0.5], "word": np.array(["known", None])}
        answer = client_of(table.application).infer("tiny", inputs)
        assert answer["sum"].tolist() == [[140.0], [2.5]]

    def test_every_datatype_comes_back(self, client_of, make_tree):
        """Through a model of texts, whose answers are texts, too; numbers are in `test_arrays_and_lists`."""
        inputs = (TensorSpec("word", "BYTES", (-1,), False),)
        step = "import numpy as np\ndef reduce(c):\n    return {'X': np.ones((len(c['word']), 2), 'f4')}"
        reduced = (TensorSpec("X", "FP32", (-1, 2), False),)
        tree = make_tree(inputs=inputs, reduction=step, reduced=reduced)
        client = client_of(Application(Pipeline(tree)))
        assert client.infer("tiny", {"word": ["a", "é"]})["label"].tolist() == [[1], [1]]
        assert client.metadata("tiny")["inputs"][0]["datatype"] == "BYTES"
        assert len(client.invoke(b"word\na\n", "text/csv")["predictions"]) == 1

    BAD = (
        ({"X": np.float64([[1, 2]])}, Refused, "X is FP32, not FP64"),
        ({"X": [[1, float("nan")]]}, BadInput, "the inputs have no JSON"),
        ({"X": "ab"}, BadInput, "X is neither a list nor an array"),
        ({"X": 1}, BadInput, "X is neither a list nor an array"),
        ({"Y": [1]}, BadInput, "Y is not an input of this model"),
        ({"X": [object()]}, BadInput, "the inputs have no JSON"),
        ({}, Refused, "X is missing"),
    )

    @pytest.mark.parametrize(("inputs", "kind", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_what_does_not_fit(self, client_of, matrix, inputs, kind, says):
        with pytest.raises(kind, match=says):
            client_of(matrix.application).infer("tiny", inputs)

    def test_another_model_or_version(self, client_of, matrix):
        client = client_of(matrix.application)
        digest = matrix.application._pipeline.digest
        assert client.infer("tiny", {"X": [[1, 2]]}, version=digest).digest == digest
        for model, version in (("other", ""), ("tiny", "1")):
            with pytest.raises(Refused, match="only tiny") as refused:
                client.infer(model, {"X": np.float32([[1, 2]])}, version=version)
            assert refused.value.status == 404

    def test_no_v2_server(self, serving):
        port = serving([None, OK])
        with (
            Client(f"http://127.0.0.1:{port}") as client,
            pytest.raises(Refused, match="that is no V2 answer"),
        ):
            client.infer("m", {"X": np.float32([1])})


class Scripted:
    """A server that does with each connection what is written down: None takes a request, bytes are sent, a
    number is a pause of that many seconds. Then it ends it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._stop = threading.Event()
        self._running: list[tuple[socket.socket, threading.Thread]] = []

    def __call__(self, *connections, context=None) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=self._serve, args=(listener, connections, context), daemon=True)
        self._running.append((listener, thread))
        thread.start()
        return listener.getsockname()[1]

    def stop(self) -> None:
        self._stop.set()
        for listener, thread in self._running:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(20)

    def _serve(self, listener, connections, context) -> None:
        for parts in connections:
            with contextlib.suppress(OSError):
                stream = listener.accept()[0]
                if context is not None:
                    stream = context.wrap_socket(stream, server_side=True)
                with stream:
                    for part in parts:
                        self._do(stream, part)

    def _do(self, stream, part) -> None:
        if part is None:
            self.seen.append(stream.recv(65536))
        elif isinstance(part, float):
            self._stop.wait(part)
        else:
            stream.sendall(part)


@pytest.fixture
def serving():
    scripted = Scripted()
    yield scripted
    scripted.stop()


def line(port):
    return Line(lambda timeout: socket.create_connection(("127.0.0.1", port), timeout))


class TestConnections:
    def test_a_connection_is_kept(self, serving):
        port = serving([None, OK] * 3)
        with line(port) as asked:
            assert [asked.exchange(Request("/")).body for _ in range(3)] == [b"{}"] * 3

    def test_one_that_has_ended_meanwhile_is_opened_anew(self, serving):
        port = serving(*[[None, OK]] * 3)
        with line(port) as asked:
            assert [asked.exchange(Request("/", b"x" * 300_000)).status for _ in range(3)] == [200] * 3

    def test_once_and_no_more(self, serving):
        port = serving([None, OK], [None], [None, OK])
        with line(port) as asked:
            asked.exchange(Request("/"))
            with pytest.raises(Unanswered, match="no whole answer from localhost"):
                asked.exchange(Request("/"))
            assert asked.exchange(Request("/")).status == 200, "afterwards it begins anew"

    def test_a_fresh_connection_that_ends_is_not_tried_again(self, serving):
        port = serving([None], [None, OK])
        with line(port) as asked, pytest.raises(Unanswered):
            asked.exchange(Request("/"))

    def test_half_an_answer_is_not_asked_for_again(self, serving):
        port = serving([None, OK, None, OK[:-1]], [None, OK])
        with line(port) as asked:
            asked.exchange(Request("/"))
            with pytest.raises(Unanswered):
                asked.exchange(Request("/"))

    def test_what_the_server_said_before_it_hung_up_is_heard(self, serving):
        late = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        port = serving([None, late], [None, OK])
        with line(port) as asked:
            assert asked.exchange(Request("/")).status == 413
            assert asked.exchange(Request("/")).status == 200

    @pytest.mark.parametrize(
        "parts",
        [[None, 9.0], [None, OK[:20], 9.0], [None, OK[:-1], 9.0]],
        ids=["nothing", "in the head", "in the body"],
    )
    def test_the_deadline_is_that_of_the_whole_exchange(self, serving, parts):
        with line(serving(parts)) as asked, pytest.raises(Unanswered, match=r"none within 0\.3 s"):
            asked.exchange(Request("/", timeout=0.3))

    def test_bytes_that_drip_do_not_put_it_off(self, serving):
        port = serving([None, *(part for byte in OK for part in (bytes([byte]), 0.1))])
        with line(port) as asked, pytest.raises(Unanswered, match=r"none within 0\.5 s"):
            asked.exchange(Request("/", timeout=0.5))

    def test_nobody_there(self):
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            with line(reserved.getsockname()[1]) as asked, pytest.raises(Unanswered, match="refused"):
                asked.exchange(Request("/"))

    def test_a_unix_socket(self, tmp_path, serving):
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()

            def answer():
                with listener.accept()[0] as stream:
                    stream.recv(65536)
                    stream.sendall(OK)

            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            with Client(f"unix:{path}") as client:
                assert client.ask(Request("/ping", method="GET")).status == 200
            thread.join(20)

    @pytest.mark.parametrize("url", ["ftp://h/", "127.0.0.1:80", ""])
    def test_another_url(self, url):
        with pytest.raises(BadInput, match="is no scheme"):
            Client(url)


class TestTokens:
    def sent(self, serving, **options):
        port = serving([None, OK])
        with Client(f"http://127.0.0.1:{port}/under/", **options) as client:
            client.metadata("m")
        head = serving.seen[-1].decode().split("\r\n")
        assert head[0] == "GET /under/v2/models/m HTTP/1.1"
        return [text.partition(": ")[2] for text in head if text.lower().startswith("authorization")]

    def test_where_it_comes_from(self, serving, tmp_path, monkeypatch):
        file = tmp_path / "token"
        file.write_text("of-the-file\n")
        assert self.sent(serving) == []
        monkeypatch.setenv("MLSHIP_TOKEN", "of-the-environment")
        assert self.sent(serving) == ["Bearer of-the-environment"]
        assert self.sent(serving, token_file=str(file)) == ["Bearer of-the-file"]
        assert self.sent(serving, token="given", token_file=str(file)) == ["Bearer given"]

    def test_a_file_is_read_for_each_request(self, serving, tmp_path):
        file = tmp_path / "token"
        port = serving([None, OK] * 2)
        with Client(f"http://127.0.0.1:{port}", token_file=str(file)) as client:
            for token in ("old", "new"):
                file.write_text(token)
                client.metadata("m")
                assert f"Bearer {token}\r\n".encode() in serving.seen[-1]


def certificate_of(folder, name, issuer=None, *, authority=False):
    """Files of a certificate and its key, and both for what it is to sign."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer_name, signer = (subject, key) if issuer is None else (issuer[2].subject, issuer[3])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1]), made, key


class TestTls:
    @pytest.fixture
    def secured(self, tmp_path, serving):
        """Port of a server that wants a client's certificate, and the options of a client that has one."""
        authority = certificate_of(tmp_path, "authority", authority=True)
        server, client = (certificate_of(tmp_path, name, authority) for name in ("server", "client"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority[0])
        context.load_cert_chain(*server[:2])
        context.verify_mode = ssl.CERT_REQUIRED
        port = serving([None, OK], [None, OK], context=context)
        return port, {"ca": authority[0], "certificate": client[0], "key": client[1]}

    def test_both_sides_are_known(self, secured):
        port, options = secured
        with Client(f"https://127.0.0.1:{port}", **options) as client:
            assert client.metadata("m") == {}

    def test_a_server_that_nobody_vouches_for(self, secured):
        port, options = secured
        says = pytest.raises(Unanswered, match="certificate verify failed")
        with Client(f"https://127.0.0.1:{port}", **{**options, "ca": ""}) as client, says:
            client.metadata("m")

    def test_a_client_without_a_certificate(self, secured):
        port, options = secured
        with Client(f"https://127.0.0.1:{port}", ca=options["ca"]) as client, pytest.raises(Unanswered):
            client.metadata("m")


def test_a_refusal_says_why(serving):
    body = json.dumps({"error": "X is missing"}).encode()
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body)
    with (
        Client(f"http://127.0.0.1:{serving([None, head + body])}") as client,
        pytest.raises(Refused) as refused,
    ):
        client.metadata("m")
    assert str(refused.value) == "the release answered with status 400: X is missing"
