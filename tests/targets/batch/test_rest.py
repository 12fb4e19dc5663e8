"""What the emulator says over HTTP, where a client could go wrong."""

from __future__ import annotations

import base64
import http.client
import socket

import pytest
from zos import AMS, DS, FS, JOBS, PASSWORD, USER, Zos, emulated

HEAD = "//J JOB (A),'ME'\n"


def test_without_the_csrf_header_or_with_a_wrong_password_nobody_comes_in(zos: Zos) -> None:
    assert zos.call("GET", JOBS, csrf=False).status == 403
    assert zos.call("GET", JOBS, Authorization="Basic aWJtdXNlcjp4").status == 401
    assert zos.call("GET", JOBS, Authorization="Bearer x").status == 401
    assert zos.call("GET", "/zosmf/info", csrf=False).status == 200


def test_a_job_is_found_by_its_correlator_and_by_nothing_near_it(zos: Zos) -> None:
    document = zos.run(HEAD + "//A EXEC PGM=IEFBR14\n")
    correlator = document["job-correlator"].replace(":", "%3A")
    assert zos.call("GET", f"{JOBS}/{correlator}").json["jobid"] == document["jobid"]
    missing = zos.call("GET", f"{JOBS}/OTHER/{document['jobid']}")
    assert (missing.status, missing.json["reason"]) == (400, 10)
    listed = zos.call("GET", f"{JOBS}?owner=*&prefix=J*&jobid={document['jobid']}").json
    assert [job["jobid"] for job in listed] == [document["jobid"]]
    assert zos.call("DELETE", f"{JOBS}/J/{document['jobid']}").status == 202
    assert zos.call("GET", f"{JOBS}/{correlator}").status == 400


def test_jcl_from_a_data_set_and_jcl_that_is_none(zos: Zos) -> None:
    zos.create("ML.JCL", dsorg="PO", dirblk=5)
    zos.put("ML.JCL(ONE)", (HEAD + "//A EXEC PGM=IEFBR14\n").encode())
    reply = zos.call("PUT", JOBS, {"file": "//'ML.JCL(ONE)'"})
    assert (reply.status, zos.ended(reply.json)["retcode"]) == (201, "CC 0000")
    assert zos.call("PUT", JOBS, {"file": "//'ML.JCL(TWO)'"}).status == 400
    assert zos.call("PUT", JOBS, b"hello\n", Content_Type="text/plain").status == 400
    assert zos.call("PUT", JOBS, b"//J JOB " + b"x" * 80, Content_Type="text/plain").status == 400


def test_text_that_is_too_long_is_cut_written_and_reported(zos: Zos) -> None:
    zos.create("ML.SEQ")
    zos.put("ML.SEQ", b"OLD\n")
    reply = zos.put("ML.SEQ", b"ERSTE\n" + b"X" * 200 + b"\n\nDRITTE\n")
    assert (reply.status, reply.json["category"], reply.json["rc"], reply.json["reason"]) == (500, 6, 8, 520)
    assert zos.get("ML.SEQ") == b"ERSTE\n" + b"X" * 80 + b"\n\nDRITTE\n"


@pytest.mark.parametrize(
    ("recfm", "kind", "sent", "back"),
    [
        ("FB", "binary", b"A" * 25, b"A" * 25 + b"\0" * 15),
        ("FB", "record", b"\0\0\0\2AB\0\0\0\0", b"\0\0\0\x14AB" + b"\0" * 18 + b"\0\0\0\x14" + b"\0" * 20),
        ("VB", "record", b"\0\0\0\2AB\0\0\0\1C", b"\0\0\0\2AB\0\0\0\1C"),
        ("VB", "binary", b"A" * 17, b"A" * 17),
        ("U", "binary", b"A" * 17, b"A" * 17),
        ("FB", "text", b"[a]^\r\n", b"[a]^\n"),
    ],
)
def test_records_as_they_come_back(zos: Zos, recfm: str, kind: str, sent: bytes, back: bytes) -> None:
    zos.create("ML.SEQ", recfm=recfm, lrecl=20, blksize=0)
    assert zos.put("ML.SEQ", sent, kind).status == 204
    assert zos.get("ML.SEQ", kind) == back


def test_text_is_kept_in_code_page_1047(zos: Zos) -> None:
    zos.create("ML.SEQ")
    zos.put("ML.SEQ", b"A[]^\n")
    assert zos.get("ML.SEQ", "binary")[:5] == bytes([0xC1, 0xAD, 0xBD, 0x5F, 0x40])
    zos.put("ML.SEQ", b"[]\n", "text;fileEncoding=IBM-037")
    assert zos.get("ML.SEQ", "binary")[:3] == bytes([0xBA, 0xBB, 0x40])
    assert zos.put("ML.SEQ", b"A\n", "text;fileEncoding=IBM-99999").status == 400
    assert zos.get("ML.SEQ", "text;fileEncoding=IBM-037") == b"[]\n"


def test_an_etag_lets_one_writer_win(zos: Zos) -> None:
    zos.create("ML.SEQ")
    etag = zos.put("ML.SEQ", b"ONE\n").headers["etag"]
    assert zos.put("ML.SEQ", b"TWO\n", If_Match=etag).status == 204
    assert zos.put("ML.SEQ", b"THREE\n", If_Match=etag).status == 412
    assert zos.get("ML.SEQ") == b"TWO\n"


def test_data_sets_are_listed_renamed_copied_and_deleted(zos: Zos) -> None:
    assert zos.create("ML.PO", dsorg="PO", dirblk=5).status == 201
    assert zos.create("ML.PO").status == 500
    assert zos.put("ML.PO(A)", b"A\n").status == 201
    assert zos.put("ML.PO(A)", b"AA\n").status == 204
    copy = {"request": "copy", "from-dataset": {"dsn": "ML.PO", "member": "A"}}
    assert zos.call("PUT", f"{DS}/ML.PO(B)", copy).status == 200
    rename = {"request": "rename", "from-dataset": {"dsn": "ML.PO", "member": "A"}}
    assert zos.call("PUT", f"{DS}/ML.PO(C)", rename).status == 200
    members = zos.call("GET", f"{DS}/ML.PO/member").json
    assert [item["member"] for item in members["items"]] == ["B", "C"]
    assert zos.call("DELETE", f"{DS}/ML.PO(B)").status == 204
    assert zos.call("DELETE", f"{DS}/ML.PO(B)").status == 404
    assert zos.put("ML.NONE", b"A\n").status == 404
    assert (
        zos.call("PUT", f"{DS}/ML.NEW", {"request": "rename", "from-dataset": {"dsn": "ML.PO"}}).status == 200
    )
    assert zos.names("ML") == ["ML.NEW"]
    listed = zos.call("GET", f"{DS}?dslevel=ML.**", X_IBM_Max_Items="0", X_IBM_Attributes="base,total").json
    assert (listed["totalRows"], listed["items"][0]["recfm"]) == (1, "FB")


def test_access_method_services_over_http(zos: Zos) -> None:
    made = zos.call("PUT", AMS, {"input": ["DEFINE GDG (NAME(ML.G) LIMIT(2))"]})
    assert made.status == 200
    assert zos.names("ML") == ["ML.G"]
    assert zos.call("PUT", AMS, {"input": ["DEFINE GDG (NAME(ML.G) LIMIT(2))"]}).status == 500


def test_files_of_unix(zos: Zos) -> None:
    home = str(zos.emulator.home)
    place = f"{FS}{home}/a"
    assert zos.call("POST", place, {"type": "directory", "mode": "rwxr-x---"}).status == 201
    assert zos.call("POST", f"{place}/f", {"type": "file"}).status == 201
    taken = zos.call("POST", f"{place}/f", {"type": "file"})
    assert (taken.status, taken.json["reason"]) == (500, 19)
    etag = zos.call("PUT", f"{place}/f", b"\0\1", X_IBM_Data_Type="binary").headers["etag"]
    assert zos.call("PUT", f"{place}/f", b"2", If_Match="no").status == 412
    assert zos.call("PUT", f"{place}/f", b"2", If_Match=etag).status == 204
    assert zos.call("PUT", f"{place}/g", {"request": "move", "from": f"{home}/a/f"}).status == 200
    names = [item["name"] for item in zos.call("GET", f"{FS}?path={home}/a").json["items"]]
    assert names == [".", "..", "g"]
    assert zos.call("DELETE", place).status == 500
    assert zos.call("DELETE", place, X_IBM_Option="recursive").status == 204
    assert zos.call("GET", f"{place}/g").status == 404
    assert zos.call("GET", f"{FS}{home}/../../etc/passwd").status == 403


def test_an_upload_that_is_cut_leaves_what_had_come(zos: Zos) -> None:
    zos.create("ML.SEQ")
    zos.put("ML.SEQ", b"OLD\n")
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with socket.create_connection(("127.0.0.1", zos.port)) as line:
        head = f"PUT {DS}/ML.SEQ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
        head += "X-CSRF-ZOSMF-HEADER: 1\r\n"
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n8\r\nONE\nTWO\n\r\n8\r\nTHR".encode())
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b""
    assert zos.get("ML.SEQ") == b"ONE\nTWO\nTHR\n"


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"on": "request", "do": "status", "status": 503}, 503),
        ({"on": "request", "do": "drop"}, None),
        ({"on": "request", "do": "cut", "size": 1}, None),
        ({"on": "request", "do": "wait", "seconds": 0.01}, 200),
        ({"on": "request", "method": "PUT", "do": "drop"}, 200),
        ({"on": "request", "path": "/zosmf/restfiles/*", "do": "drop"}, 200),
    ],
)
def test_faults_strike_once_and_where_they_shall(
    zos: Zos, fault: dict[str, object], seen: int | None
) -> None:
    assert zos.call("PUT", "/emulator/faults", {"faults": [fault]}).status == 204
    if seen is None:
        with pytest.raises((http.client.HTTPException, OSError)):
            zos.call("GET", JOBS)
    else:
        assert zos.call("GET", JOBS).status == seen
    assert zos.call("GET", JOBS).status == 200


def test_a_fault_script_that_is_none_is_refused(zos: Zos) -> None:
    for wrong in (
        {"faults": [{"on": "job", "do": "nothing"}]},
        {"faults": [{"on": "job", "du": "hold"}]},
        [],
    ):
        assert zos.call("PUT", "/emulator/faults", wrong).status == 400
    assert zos.call("GET", "/emulator/faults").json == {"faults": []}


@pytest.mark.parametrize(
    ("fault", "retcode"),
    [
        ({"do": "abend", "code": "S0C7", "step": "A"}, "ABEND S0C7"),
        ({"do": "abend", "code": "U0016"}, "ABENDU0016"),
        ({"do": "code", "code": "12"}, "CC 0012"),
        ({"do": "jcl error"}, "JCL ERROR"),
        ({"do": "sec error"}, "SEC ERROR"),
        ({"do": "conv error"}, "CONV ERROR"),
        ({"do": "sys fail"}, "SYS FAIL"),
    ],
)
def test_jobs_end_as_the_script_says(zos: Zos, fault: dict[str, object], retcode: str) -> None:
    zos.emulator.faults.load({"faults": [{"on": "job", **fault}]})
    assert zos.run(HEAD + "//A EXEC PGM=IEFBR14\n")["retcode"] == retcode


def test_another_user_on_the_job_card_is_a_security_error(zos: Zos) -> None:
    assert zos.run("//J JOB (A),USER=OTHER\n//A EXEC PGM=IEFBR14\n")["retcode"] == "SEC ERROR"


def test_a_full_volume(tmp_path) -> None:
    with emulated(tmp_path / "small", capacity=100_000) as zos:
        assert zos.create("ML.ONE").status == 201
        assert zos.put("ML.ONE", b"ROW\n" * 1200).status == 204
        full = zos.create("ML.TWO")
        assert (full.status, "IGD17272I" in full.json["details"][0]) == (500, True)
