"""SchemaVer: the size of a change, and the least version that says it."""

import pytest

from forensics_schemas.schemaver import Change, Version, change, digest

OLD = {
    "$id": "urn:x:1-2-3",
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "maxLength": 9},
        "kind": {"enum": ["a", "b"]},
        "at": {"$ref": "#/$defs/time"},
    },
    "$defs": {"time": {"type": "string"}},
}


def with_(path: str, value: object) -> dict:
    """``OLD`` with the value at a dotted path replaced, or removed where ``None``."""
    *folders, last = path.split("/")
    copy = here = dict(OLD)
    for name in folders:
        here[name] = dict(here[name])
        here = here[name]
    here[last] = value
    if value is None:
        del here[last]
    return copy


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(OLD, Change.NONE, id="the same"),
        pytest.param(with_("description", "words"), Change.NONE, id="words"),
        pytest.param(with_("properties/at", {"type": "string"}), Change.NONE, id="inlined"),
        pytest.param(with_("properties/note", {}), Change.ADDITION, id="optional field"),
        pytest.param(with_("properties/kind/enum", ["a", "b", "c"]), Change.ADDITION, id="word"),
        pytest.param(with_("properties/id/maxLength", None), Change.ADDITION, id="rule dropped"),
        pytest.param(with_("required", ["id", "kind"]), Change.REVISION, id="required"),
        pytest.param(with_("properties/kind/enum", ["a"]), Change.REVISION, id="word removed"),
        pytest.param(with_("properties/id/maxLength", 5), Change.REVISION, id="stricter rule"),
        pytest.param(with_("properties/id/pattern", "x"), Change.REVISION, id="new rule"),
        pytest.param(with_("required", []), Change.MODEL, id="no longer promised"),
        pytest.param(with_("properties/id", None), Change.MODEL, id="field removed"),
        pytest.param(with_("properties/id/type", "integer"), Change.MODEL, id="another type"),
        pytest.param(with_("$defs/time/type", "integer"), Change.MODEL, id="definition"),
    ],
)
def test_a_change_is_as_great_as_what_it_breaks(new: dict, expected: Change) -> None:
    assert change(OLD, new) is expected


@pytest.mark.parametrize(
    ("size", "version"),
    [
        (Change.NONE, "1-2-3"),
        (Change.ADDITION, "1-2-4"),
        (Change.REVISION, "1-3-0"),
        (Change.MODEL, "2-0-0"),
    ],
)
def test_the_version_after_a_change(size: Change, version: str) -> None:
    assert str(Version.of(OLD).after(size)) == version


def test_a_digest_covers_demands_and_not_words() -> None:
    assert digest(with_("title", "words")) == digest(OLD)
    assert digest(with_("properties/id/maxLength", 5)) != digest(OLD)


def test_a_field_may_be_called_like_an_annotation() -> None:
    assert change(OLD, with_("properties/title", {})) is Change.ADDITION
