"""NaN, infinity and 1e999 in a request: refused with the column and the row, in every form."""

from __future__ import annotations

import pytest

NUMBERS = (
    ("1e999", "is infinite in row 1"),
    ("-Infinity", "is infinite in row 1"),
    ("NaN", "is NaN in row 1"),
)
GOOD = '{"age": 1, "height": 2, "word": null}'


def document(form: str, number: str) -> bytes:
    rows = f'[{GOOD}, {{"age": 1, "height": {number}, "word": null}}]'
    columns = f'{{"age": [1, 1], "height": [2, {number}], "word": [null, null]}}'
    split = f'{{"columns": ["age", "height", "word"], "data": [[1, 2, null], [1, {number}, null]]}}'
    content = {"inputs": columns, "dataframe_split": split}.get(form, rows)
    return f'{{"{form}": {content}}}'.encode()


@pytest.mark.parametrize(("number", "said"), NUMBERS)
@pytest.mark.parametrize("form", ["instances", "inputs", "dataframe_split", "dataframe_records"])
def test_in_the_forms_of_invocations(table, form: str, number: str, said: str) -> None:
    status, answer = table.post("/invocations", document(form, number))
    assert status == 400
    assert answer["error"].startswith(f"height {said}")


@pytest.mark.parametrize(("number", "said"), NUMBERS)
@pytest.mark.parametrize("data", ["[1, 2, 3, %s]", "[[1, 2], [3, %s]]"])
def test_in_a_v2_tensor(matrix, data: str, number: str, said: str) -> None:
    tensor = f'{{"name": "X", "datatype": "FP32", "shape": [2, 2], "data": {data % number}}}'
    status, answer = matrix.post("/v2/models/tiny/infer", f'{{"inputs": [{tensor}]}}'.encode())
    assert status == 400
    assert answer["error"].startswith(f"X {said}")


@pytest.mark.parametrize(("number", "said"), NUMBERS)
def test_in_one_of_several_v2_tensors(table, number: str, said: str) -> None:
    tensors = [
        '{"name": "age", "datatype": "INT64", "shape": [2], "data": [1, 1]}',
        f'{{"name": "height", "datatype": "FP64", "shape": [2], "data": [2, {number}]}}',
        '{"name": "word", "datatype": "BYTES", "shape": [2], "data": [null, null]}',
    ]
    status, answer = table.post("/v2/models/tiny/infer", f'{{"inputs": [{", ".join(tensors)}]}}'.encode())
    assert status == 400
    assert answer["error"].startswith(f"height {said}")


@pytest.mark.parametrize("instance", ["[1, %s]", '{"p": 1, "q": %s}'])
def test_in_a_row_of_a_matrix(matrix, instance: str) -> None:
    body = f'{{"instances": [{instance % 1}, {instance % "Infinity"}]}}'.encode()
    status, answer = matrix.post("/invocations", body)
    assert status == 400
    assert answer["error"].endswith("is infinite in row 1")


@pytest.mark.parametrize(
    "body", [b'{"instances": [NaN', b'{"instances": [1,, Infinity]}', b"NaN", b"[1e999]"]
)
def test_what_is_wrong_otherwise_is_said_so(matrix, body: bytes) -> None:
    for path in ("/invocations", "/v2/models/tiny/infer"):
        status, answer = matrix.post(path, body)
        assert status == 400
        assert answer["error"].startswith("the body is not")
