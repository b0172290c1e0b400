"""JSON pointers by RFC 6901, and where two values differ."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.incident import pointers
from forensics.incident.pointers import ABSENT, Difference

#: Section 5 of RFC 6901.
DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6,
    " ": 7, "m~n": 8,
}  # fmt: skip
SHORT = st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | SHORT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1),
        ("/c%d", 2), ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_it_leads_where_the_standard_says(pointer: str, value: Any) -> None:
    assert pointers.resolve(DOCUMENT, pointer) == value


@pytest.mark.parametrize(
    "pointer", ["/nothing", "/foo/2", "/foo/00", "/foo/-", "/foo/-1", "/foo/+1", "/foo/0/x", "//x"]
)
def test_what_leads_nowhere_is_said(pointer: str) -> None:
    with pytest.raises(LookupError, match="there is no"):
        pointers.resolve(DOCUMENT, pointer)


@pytest.mark.parametrize("pointer", ["x", "foo/0", "/~", "/~2", "/a~"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(ValueError, match="no JSON pointer"):
        pointers.resolve(DOCUMENT, pointer)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert list(pointers.differences(value, copy.deepcopy(value))) == []


@given(JSON, JSON)
def test_differences_are_the_smallest_and_all(old: Any, new: Any) -> None:
    found = list(pointers.differences(old, new))
    for pointer, before, after in found:
        for value, side in ((old, before), (new, after)):
            if side is ABSENT:
                with pytest.raises(LookupError):
                    pointers.resolve(value, pointer)
            else:
                assert pointers.resolve(value, pointer) == side
        both_same_kind = any(isinstance(before, t) and isinstance(after, t) for t in (dict, list))
        assert not both_same_kind, "it could have been taken apart further"
    patched = copy.deepcopy(old)
    for pointer, _, after in reversed(found):
        way = pointers.tokens(pointer)
        if not way:
            patched = after
            continue
        parent = pointers.resolve(patched, pointers.pointer(way[:-1]))
        key = int(way[-1]) if isinstance(parent, list) else way[-1]
        if after is ABSENT:
            del parent[key]
        elif isinstance(parent, list) and key >= len(parent):
            parent.extend([None] * (key + 1 - len(parent)))
            parent[key] = after
        else:
            parent[key] = after
    assert list(pointers.differences(patched, new)) == []


def test_true_is_not_one() -> None:
    assert list(pointers.differences([True], [1])) == [Difference("/0", True, 1)]
    assert list(pointers.differences([1], [1.0])) == []


def test_parts_are_left_out_by_patterns_wherever_the_value_stands() -> None:
    answer = {"replay": {"runtime": {"replayed": "x", "recorded": "y"}}, "other": 1}
    kept = {"replay": {"runtime": {"recorded": "y"}}, "other": 1}
    pattern = ("/replay/runtime/replayed",)
    assert pointers.without(answer, pattern, "") == kept
    assert pointers.without(answer["replay"], pattern, "/replay") == kept["replay"]
    assert pointers.without([answer], ("/*/replay/runtime/replayed",), "") == [kept]
    assert pointers.without(1, pattern, "/other") == 1
    assert pointers.is_within("/replay/runtime/replayed", pattern)
    assert not pointers.is_within("/replay/runtime", pattern)


NAMED = st.dictionaries(st.sampled_from(["id", "kind", "about", "name"]), SHORT, max_size=4)


@given(st.lists(NAMED), st.randoms(), st.data())
def test_what_is_known_by_something_is_found_in_any_order(
    items: list[dict[str, str]], random: Any, data: Any
) -> None:
    if not items:
        return
    answer = {"list": items}
    at = pointers.pointer(["list", data.draw(st.integers(0, len(items) - 1))])
    known = pointers.identities(answer, at)
    shuffled = {"list": random.sample(items, len(items))}
    if known:
        now = pointers.followed(shuffled, at, known)
        assert pointers.resolve(shuffled, now) == pointers.resolve(answer, at)
    assert pointers.followed(answer, at, known) == at


def test_items_that_nothing_tells_apart_are_known_by_their_place() -> None:
    answer = [{"name": "a"}, {"name": "a"}, {"name": None}, 1]
    for at in range(4):
        assert pointers.identities(answer, f"/{at}") == {}
