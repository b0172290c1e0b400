"""An id is found as a word of its own, however JSON writes what is around it."""

from __future__ import annotations

import json

import pytest

from forensics.records.mention import Mention


@pytest.mark.parametrize("id_", ["s-4", 'p\u00e9ter "x"', "a\\b", "\U0001f600", "a/b", "*", "4"])
@pytest.mark.parametrize(
    "around", ["{}", "asked by:\n{}", "\t{}\r", '"{}"', "({}), {}", "\u00a0{}"]
)
@pytest.mark.parametrize("ascii_", [True, False])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_id_is_found_behind_every_escape(
    id_: str, around: str, ascii_: bool, times: int
) -> None:
    text = around.replace("{}", id_)
    for _ in range(times):
        text = json.dumps({"said": text}, ensure_ascii=ascii_)
    assert Mention(id_).stands_in(text.encode())


@pytest.mark.parametrize("other", ["s-41", "xs-4", "s-4-1", "s-4_1", "s-4\u00e5", "as-4", "S-4"])
@pytest.mark.parametrize("ascii_", [True, False])
def test_an_id_that_is_part_of_another_is_not_found(other: str, ascii_: bool) -> None:
    data = json.dumps({"said": [other, f"\n{other}"]}, ensure_ascii=ascii_).encode()
    assert not Mention("s-4").stands_in(data)


def test_bytes_that_are_no_json_are_looked_through_too() -> None:
    assert Mention("s-4").stands_in(b'{"broken": "s-4')
    assert Mention("s-4").stands_in(b"\xff\xfes-4\xff")
    assert not Mention("s-4").stands_in(b"")
