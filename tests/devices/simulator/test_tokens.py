"""The file of tokens that simulated devices are given: what is read, and what is said of it."""

import json

import pytest

from devices.simulator.tokens import TokensError, read_tokens

HEADER = "device_uid,username,client_id,token,expires_at\n"
FIRST, SECOND = "dev-01,dev-01,dev-01,f1f1,\n", "dev-02,dev-02,dev-02,5ec0,\n"


@pytest.fixture
def read(tmp_path):
    """Reads a file with that text, for dev-01 and dev-02."""

    def read(text, uids=("dev-01", "dev-02")):
        (tmp_path / "tokens").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_tokens(tmp_path / "tokens", uids)

    return read


@pytest.mark.parametrize(
    "text",
    [
        HEADER + FIRST + SECOND,
        "\ufeff" + HEADER + FIRST + "\n" + SECOND + "other,other,other,0000,\n",
        "token,device_uid\nf1f1,dev-01\n5ec0,dev-02\n",
        '[{"device_uid": "dev-01", "token": "f1f1"}, {"token": "5ec0", "device_uid": "dev-02"}]',
        '{"dev-01": "f1f1", "dev-02": "5ec0", "other": "0000"}',
    ],
)
def test_tokens_are_found_by_uid(read, text):
    assert read(text) == {"dev-01": "f1f1", "dev-02": "5ec0"}


def test_a_uid_that_a_spreadsheet_would_calculate_is_the_one_it_was(read):
    assert read("device_uid,token\n'-1,f1f1\n", ["-1"]) == {"-1": "f1f1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column device_uid and no token. Its first line has to name"),
        ("device_uid,secret\ndev-01,f1f1\n", "no column token. "),
        (HEADER + FIRST, "no token for dev-02. Issue one by POST /credentials"),
        (HEADER + FIRST + "dev-02,,,,\n", "no token for dev-02"),
        (HEADER + FIRST + FIRST.replace("f1f1", "f2f2"), "two tokens for dev-01"),
        (HEADER + "dev-01,f1f1\n", "Line 2 has 2 cells, the first one 5"),
        (HEADER + '"dev-01,f1f1', "Line 2 is not CSV"),
        (b"device_uid,token\ndev-01,\xff\xfe", "Byte 24 is not UTF-8"),
        ("[{", "not JSON at line 1"),
        ("[" * 10_000, "not JSON"),
        ('[{"device_uid": "dev-01"}]', "Element 1 lacks device_uid or token"),
        ('["f1f1"]', "Element 1 lacks"),
        ('{"dev-01": 1}', "no text"),
        (json.dumps([{"device_uid": ["f1f1"], "token": "f1f1"}]), "no text"),
    ],
)
def test_what_is_wrong_is_said_without_a_token(read, text, said):
    with pytest.raises(TokensError) as caught:
        read(text)
    assert said in str(caught.value)
    assert "f1f1" not in str(caught.value)
    assert caught.value.__cause__ is None or "f1f1" not in str(caught.value.__cause__)


def test_of_many_missing_ones_a_few_are_named(read):
    with pytest.raises(TokensError, match=r"for dev-0, .*, dev-4 and 5 more\."):
        read(HEADER, [f"dev-{number}" for number in range(10)])


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path, name):
    with pytest.raises(TokensError, match=r"cannot be read: .* Check the path"):
        read_tokens(tmp_path / name, [])
