"""How the console shows the bytes that a device sent."""

import pytest

from telemetry.console.shown import (
    LONGEST_SHOWN,
    hex_dump,
    is_plain,
    pretty,
    text_of,
    visible,
    ways,
)

MARKED = '<span class="rejected-hidden">{}</span>'


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\0", r"\x00"),
        (b"\x1b", r"\x1b"),
        (b"\r", r"\x0d"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}".encode(), r"\u202e"),
        ("\N{ZERO WIDTH SPACE}\N{ZERO WIDTH JOINER}".encode(), r"\u200b\u200d"),
        ("\N{SOFT HYPHEN}".encode(), r"\u00ad"),
        ("\N{LINE SEPARATOR}\N{NO-BREAK SPACE}".encode(), r"\u2028\u00a0"),
        ("\N{HANGUL FILLER}".encode(), r"\u3164"),
        ("\U000e0041".encode(), r"\U000e0041"),
    ],
)
def test_what_is_not_seen_is_written_out_and_marked(data, written):
    text = text_of(data)
    assert visible(f"a{text}b") == f"a{MARKED.format(written)}b"
    assert not is_plain(text)


def test_what_is_seen_stays_as_it_is_and_is_no_markup():
    assert visible("Hà Nội\n\t<b>&") == "Hà Nội\n\t&lt;b&gt;&amp;"
    assert is_plain("Hà Nội\n\t<b>&")


def test_a_backslash_that_a_device_wrote_is_not_marked():
    assert visible(r"\xff") == r"\xff"


def test_json_has_a_line_for_each_value():
    assert pretty('{"a":[1,{"b":null}],"c":[ ],"d":{}}') == (
        '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": [],\n  "d": {}\n}'
    )


def test_of_json_only_the_space_changes():
    shown = pretty('{"a": 1.50, "a": 1e2, "b": "x, y: [\\"z\\"] \\u202e"}')
    assert shown == '{\n  "a": 1.50,\n  "a": 1e2,\n  "b": "x, y: [\\"z\\"] \\u202e"\n}'


@pytest.mark.parametrize("text", ["", "{", "[1,]", "[" * 100_000 + "]" * 100_000, "9" * 10_000])
def test_what_is_no_json_or_too_much_of_it_is_not_taken_for_it(text):
    assert pretty(text) is None


def test_of_much_json_the_beginning_is_made_pretty():
    assert len(pretty("[" + "1," * 300_000 + "1]")) < 2 * LONGEST_SHOWN


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b'{"a": 1}', ["json", "text", "hex"]),
        (b"nonsense", ["text", "hex"]),
        (b"non\0sense", ["hex", "text"]),
        (b"\xff", ["hex", "text"]),
    ],
)
def test_the_way_that_says_most_comes_first(data, names):
    assert [way["name"] for way in ways(data)] == names


def test_a_dump_has_sixteen_bytes_a_line():
    lines = hex_dump(bytes(range(48, 80))).splitlines()
    assert lines[0] == "000000  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  0123456789:;<=>?"
    assert lines[1].startswith("000010  40 41")
