"""The published schemas follow from the declared kinds, and a published version never changes."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from forensics_schemas import KINDS, arrow, fields, generate, json_schema
from forensics_schemas.schemaver import Version, digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the published files, to plan against."""
    for path in generate.FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def with_field(monkeypatch: pytest.MonkeyPatch):
    """Adds a field to a record kind."""

    def add(kind: str, field) -> None:
        monkeypatch.setitem(arrow.SCHEMAS, kind, arrow.SCHEMAS[kind].append(field))

    return add


def test_what_lies_in_the_package_is_what_arrow_declares() -> None:
    assert generate.plan() == {}, "run python -m forensics_schemas.generate"


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_a_valid_schema_that_names_its_version(kind: str) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:decision-forensics:schema:{kind}:{arrow.VERSIONS[kind]}"


def test_the_registry_holds_every_version_and_each_is_kept() -> None:
    published = json.loads((generate.FOLDER / "published.json").read_text(encoding="utf-8"))
    kept = [json.loads(path.read_text()) for path in generate.FOLDER.glob("**/*.schema.json")]
    assert published == {f"{each['title']}:{Version.of(each)}": digest(each) for each in kept}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_is(kind: str) -> None:
    def undocumented(schema: object, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        found = undocumented(schema.get("items"), f"{path}[]")
        for name, item in schema.get("properties", {}).items():
            if not item.get("description", "").endswith("."):
                found.append(f"{path}.{name}")
            found += undocumented(item, f"{path}.{name}")
        return found

    assert undocumented(json_schema(kind), "$") == []


def test_a_reconstruction_always_has_every_section() -> None:
    schema = json_schema("reconstruction")
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False


def test_a_changed_contract_under_an_old_version_is_refused(folder: Path, with_field) -> None:
    with_field("outcome", fields.text("certainty", "How sure the source is."))
    with pytest.raises(generate.RefusedError, match=r"outcome 1-0-0 is published.* Raise VERSIONS"):
        generate.plan(folder)


def test_better_words_need_no_new_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(generate.TITLES, "outcome", "Better words.")
    assert list(generate.plan(folder)) == ["outcome.schema.json"]


def test_a_new_optional_field_is_an_addition_and_the_old_schema_is_kept(
    folder: Path, with_field, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_field("outcome", fields.text("certainty", "How sure the source is."))
    monkeypatch.setitem(arrow.VERSIONS, "outcome", "1-0-1")
    planned = generate.plan(folder)
    assert json.loads(planned["superseded/outcome-1-0-0.schema.json"]) == json_schema("outcome")
    assert Version.of(json.loads(planned["outcome.schema.json"])) == (1, 0, 1)
    assert {"outcome:1-0-0", "outcome:1-0-1"} <= json.loads(planned["published.json"]).keys()


def test_a_version_that_says_too_little_is_refused(
    folder: Path, with_field, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_field("outcome", fields.text("certainty", "How sure the source is.", required=True))
    monkeypatch.setitem(arrow.VERSIONS, "outcome", "1-0-1")
    with pytest.raises(generate.RefusedError, match="needs 1-1-0 or higher"):
        generate.plan(folder)


def test_a_version_that_nobody_has_can_be_amended(folder: Path, with_field) -> None:
    with_field("outcome", fields.text("certainty", "How sure the source is."))
    assert set(generate.plan(folder, amend=True)) == {"outcome.schema.json", "published.json"}


def test_check_says_what_is_stale_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(generate.TITLES, "outcome", "Better words.")
    before = (generate.FOLDER / "outcome.schema.json").read_bytes()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "stale: outcome.schema.json\n"
    assert (generate.FOLDER / "outcome.schema.json").read_bytes() == before
