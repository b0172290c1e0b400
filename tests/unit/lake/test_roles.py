"""What a role may not see is shown nowhere, and every way to see it leaves a record of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from forensics.api import Lake, open_lake
from forensics.errors import UsageError
from forensics.lake import looks
from forensics.lake.snapshot import take
from forensics.lake.window import Reader, View
from forensics.records.jsontext import dumps
from forensics.records.looker import looking
from forensics.records.times import to_micros
from forensics.testing import change_record, decision_record, outcome_record, override_record

TakeIn = Callable[..., Any]
#: Each personal field with a value that can stand nowhere else.
FIELDS: dict[str, str] = {
    "subject.id": "subject-77101",
    "features.phone": "phone-77102",
    "raw_request": "request-77103",
    "steps.outputs": "output-77104",
    "explanation": "reason-77105",
    "my_own": "own-77106",
    "consumer.received": "received-77107",
}
ROLES = {
    "nobody": [],
    "everything": ["*"],
    "features": ["features.*"],
    "subject": ["subject.id", "raw_request"],
    "rest": ["steps", "explanation", "my_own", "consumer"],
}
RECORD = {
    "decision_id": "d",
    "request_id": "r",
    "subject": {"id": FIELDS["subject.id"], "purpose": "credit"},
    "features": {"phone": FIELDS["features.phone"], "amount": 3},
    "raw_request": FIELDS["raw_request"],
    "steps": [{"id": "m", "kind": "model", "outputs": {"x": FIELDS["steps.outputs"]}}],
    "explanation": {"reasons": [FIELDS["explanation"]]},
    "my_own": FIELDS["my_own"],
    "consumer": {"received": FIELDS["consumer.received"], "action": "APPROVE"},
}


@pytest.fixture(params=["in the clear", "encrypted"])
def guarded(
    request: pytest.FixtureRequest, lake: Path, take_in: TakeIn, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    text = f"personal = {json.dumps(list(FIELDS))}\n"
    for name, unmask in ROLES.items():
        text += f'[roles.{name}]\nusers = ["u-{name}"]\nunmask = {json.dumps(unmask)}\n'
    if request.param == "in the clear":
        take_in([decision_record(**RECORD), decision_record(request_id="other")])
    (lake / "privacy.toml").write_text(text, encoding="utf-8")
    if request.param == "encrypted":
        take_in([decision_record(**RECORD), decision_record(request_id="other")])
    return lake


def traced(lake: Lake) -> str:
    found = lake.trace("r")
    return "".join(f"{one.to_dict()}{asdict(one.decision)}" for one in found)


def found_features(lake: Lake) -> str:
    return str(list(lake.find(features=True)))


def table(lake: Lake) -> str:
    reader = Reader(take(lake.root))
    names = ("subject", "features.phone", "consumer_received", "outcome")
    view = View(("credit_line",), names, None)
    source = reader.source(view, names, reader.files(view))
    assert source is not None
    return str(reader.ask(source))


WAYS: dict[str, Callable[[Lake], str]] = {
    "trace": traced,
    "explain": lambda lake: str([one.to_dict() for one in lake.explain("r")]),
    "whatif": lambda lake: str([one.to_dict() for one in lake.whatif("r", settings=["amount=4"])]),
    "diff": lambda lake: str(lake.diff("r", "other").to_dict()),
    "find": found_features,
    "arrow": lambda lake: str(lake.find(features=True).to_arrow().to_pylist()),
    "table": table,
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("way", WAYS)
def test_no_way_shows_what_a_role_may_not_see(guarded: Path, role: str, way: str) -> None:
    looks._last.clear()
    with open_lake(guarded) as opened, looking(actor=f"u-{role}"):
        shown = WAYS[way](opened)
    assert "APPROVE" in shown or way in ("explain", "whatif", "diff"), "something is shown"
    allowed = ROLES[role]
    for path, value in FIELDS.items():
        top = path.split(".")[0]
        may = "*" in allowed or {path, top, f"{top}.*"} & set(allowed)
        if not may:
            assert value not in shown, (way, role, path)
    log = (guarded / "spool" / "access.log").read_text(encoding="utf-8") if way != "table" else ""
    if way == "trace":
        (look,) = map(json.loads, log.splitlines())
        for path in look.get("unmasked", []):
            top = path.split(".")[0]
            assert "*" in allowed or {path, top, f"{top}.*"} & set(allowed)
        assert bool(look.get("unmasked")) == bool(allowed)


def test_who_may_see_everything_sees_everything_and_that_is_recorded(guarded: Path) -> None:
    looks._last.clear()
    with open_lake(guarded) as opened, looking(actor="u-everything"):
        shown = traced(opened)
        rows = found_features(opened)
    for path, value in FIELDS.items():
        assert value in shown, path
    (first, *_) = (guarded / "spool" / "access.log").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(first)["unmasked"]) >= {"subject.id", "features.phone", "raw_request"}
    assert "APPROVE" in rows


def test_what_is_masked_says_so_with_the_rule(guarded: Path) -> None:
    with open_lake(guarded) as opened, looking(actor="u-subject"):
        (one,) = opened.trace("r", replay=False)
    phone = next(feature for feature in one.features if feature.name == "phone")
    assert (phone.value, phone.evidence) == (None, "redacted")
    assert phone.reason == "role subject may not see it"
    assert one.integrity.verified
    assert "77102" not in dumps(one.to_dict())


def test_a_condition_cannot_ask_what_may_not_be_seen(guarded: Path) -> None:
    where = f"phone = '{FIELDS['features.phone']}'"
    with open_lake(guarded) as opened:
        for role in ("nobody", "everything"):
            with (
                looking(actor=f"u-{role}"),
                pytest.raises(UsageError, match="cannot ask for phone"),
            ):
                list(opened.find(where=where))
        with looking(actor="u-nobody"):
            assert list(opened.find(where="subject LIKE 'subject%'")) == []
        time = to_micros(next(iter(opened.find()))["occurred_at"])
    assert time


def test_a_person_is_found_by_id_whoever_asks_and_shown_by_token(guarded: Path) -> None:
    with open_lake(guarded) as opened, looking(actor="u-nobody"):
        (row,) = opened.find(subject=FIELDS["subject.id"])
    assert row["subject"] is None or row["subject"].startswith("~")


def test_many_at_once_are_not_run_without_what_is_personal(guarded: Path) -> None:
    with open_lake(guarded) as opened:
        for ask in (
            lambda: opened.replay("credit_line"),
            lambda: opened.whatif(decision_point="credit_line", settings=["amount=1"]),
            lambda: opened.attributions("credit_line"),
        ):
            with pytest.raises(UsageError, match="many at once") as refused:
                ask()
            assert "features.phone" in refused.value.why
        assert "phone" in opened.check().beyond_columns["personal_features"]


BESIDE = """
personal = ["subject.id", "override.reason", "override.actor", "outcome.label", "change.*"]
[roles.all]
users = ["u-all"]
unmask = ["*"]
[roles.changes]
users = ["u-changes"]
unmask = ["change.reason"]
"""
WORDS = {
    "override": ("why-88101", "who-88102"),
    "outcome": ("label-88103",),
    "change": ("change-88104", "detail-88105"),
}


@pytest.fixture(params=["in the clear", "encrypted"])
def beside(
    request: pytest.FixtureRequest, lake: Path, take_in: TakeIn, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    """A decision with an override, a label and a change before it, before or since a policy."""
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    if request.param == "encrypted":
        (lake / "privacy.toml").write_text(BESIDE, encoding="utf-8")
    at = "2026-10-02T00:00:00Z"
    take_in(
        [
            decision_record(decision_id="d", request_id="r", occurred_at=at),
            override_record(decision_id="d", request_id="r", occurred_at=at, scope="the day",
                            reason="why-88101", actor="who-88102"),
            outcome_record(decision_id="d", request_id="r", label="label-88103"),
            change_record(occurred_at="2026-10-01T23:00:00Z", reason="change-88104",
                          detail={"x": "detail-88105"}),
        ]
    )  # fmt: skip
    (lake / "privacy.toml").write_text(BESIDE, encoding="utf-8")
    if request.param == "encrypted":
        stored = b"".join(path.read_bytes() for path in lake.rglob("*") if path.is_file())
        values = b"".join(
            repr(pq.read_table(path).to_pylist()).encode() for path in lake.rglob("*.parquet")
        )
        for word in sum(WORDS.values(), ()):
            assert word.encode() not in stored + values, word
    return lake


def test_records_beside_decisions_are_shown_by_role_wherever_they_are_shown(beside: Path) -> None:
    ways: dict[str, Callable[[Lake], str]] = {
        "trace": lambda lake: str([one.to_dict() for one in lake.trace("r")]),
        "report": lambda lake: dumps(lake.decision_report("r").to_dict()),
        "changes": lambda lake: str([one.to_dict() for one in lake.changes()]),
        "timeline": lambda lake: dumps(lake.timeline().to_dict()),
        "as-of": lambda lake: dumps(lake.as_of("2026-10-02T01:00:00Z").to_dict()),
    }
    expected = {
        "u-all": {*WORDS["override"], *WORDS["outcome"], *WORDS["change"]},
        "u-changes": {"change-88104"},
        "u-nobody": set(),
    }
    paths = {
        "u-all": {"override.reason", "override.actor", "outcome.label", "change.reason",
                  "change.detail", "subject.id"},
        "u-changes": {"change.reason"},
        "u-nobody": set(),
    }  # fmt: skip
    with open_lake(beside) as opened:
        for actor, words in expected.items():
            looks._last.clear()
            (beside / "spool" / "access.log").unlink(missing_ok=True)
            with looking(actor=actor):
                shown = {name: way(opened) for name, way in ways.items()}
            log = (beside / "spool" / "access.log").read_text(encoding="utf-8")
            told = {
                path for line in log.splitlines() for path in json.loads(line).get("unmasked", ())
            }
            assert told == paths[actor]
            seen = {word for word in sum(WORDS.values(), ()) if word in "".join(shown.values())}
            assert seen == words, actor
            # Who may not see a reason is not told that there was none.
            with looking(actor=actor):
                (one,) = opened.trace("r", replay=False)
                found = [*one.findings, *opened.check().found]
            assert not any("without reason" in str(finding) for finding in found)
            if actor == "u-nobody":
                assert "u-nobody has no role" in shown["trace"]
                assert "u-nobody has no role" in shown["changes"]


def test_a_diff_names_what_is_masked_and_does_not_compare_it(guarded: Path) -> None:
    with open_lake(guarded) as opened:
        with looking(actor="u-nobody"):
            found = opened.diff("r", "other")
        with looking(actor="u-everything"):
            seen = opened.diff("r", "other")
    masked = {(one.section, one.name): one for one in found.differences if one.rule}
    assert {("features", "phone"), ("outcome", "consumer.received")} <= masked.keys()
    phone = masked["features", "phone"]
    assert (phone.a, phone.a_evidence, phone.rule) == (
        None,
        "redacted",
        "role nobody may not see it",
    )
    assert not any(one.rule for one in seen.differences)
    (clear,) = (one for one in seen.differences if one.name == "phone")
    assert clear.a == FIELDS["features.phone"]
