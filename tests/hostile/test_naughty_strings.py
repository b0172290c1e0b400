"""The Big List of Naughty Strings in every text field: kept to the letter, and inert on screen."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.ingest import quarantine
from forensics.testing import decision_record, write_lines

#: Besides those of the list: what terminals obey.
ESCAPES = [
    "\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJmIC8=\x07", "\x1b]8;;http://x\x1b\\",
    "\x9b31mred", "\x9d0;x\x9c", "a\rb", "a\x08b", "\x07", "\x7f", "a\u202eb\u202c", "\u2066x",
    "\u200e\u200f\u061c", "x\u2028y\u2029z", "\ufeff", "\U000e0041", "\x1bP1$r\x1b\\",
    "[@click=x]y[/]", "\x00", "=cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "%0a", "\u0085",
]  # fmt: skip


#: Of the strings that a command is run with, one in so many, and each behind `make torture`.
one_in = pytest.mark.parametrize(
    "one_in", [25, pytest.param(1, marks=pytest.mark.torture)], ids=["some", "all"]
)


@pytest.fixture(scope="module")
def strings(corpus: Path) -> list[str]:
    naughty = json.loads((corpus / "hostile" / "blns" / "blns.json").read_text(encoding="utf-8"))
    assert len(naughty) > 400
    return list(dict.fromkeys([*naughty, *ESCAPES]))


def record_with(text: str) -> dict[str, Any]:
    """A decision with ``text`` in every field that holds text of the emitter's own."""
    step = {"id": text, "kind": text, "component": text, "version": text, "status": text,
            "error": text, "inputs": {"x": text}, "outputs": {"x": text}}  # fmt: skip
    return decision_record(
        outcome=text,
        environment=text,
        region=text,
        replica=text,
        subject={"purpose": text, "legal_basis": text},
        model={"name": text, "version": text, "training_data": text, "runtime": text,
               "runtime_version": text},
        config={"name": text, "revision": text, "values": {"note": text}},
        features={"x": text, "n": 1},
        feature_sources=[{"view": text, "features": ["x"], "dataset": text, "status": text,
                          "job": text, "run_id": text}],
        candidates=[{"id": text, "value": 1}],
        execution={"code_version": text, "calls": {"clock": text}},
        cache={"hit": False},
        consumer={"name": text, "received": text, "action": text},
        steps=[step],
        capture={"emitter": text, "sdk_version": text, "masked": [text]},
        raw_request=text,
        my_own=text,
    )  # fmt: skip


def assert_inert(screen: str) -> None:
    active = {
        hex(ord(character))
        for character in screen.replace("\n", "")
        if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    }
    assert not active, active


def test_they_land_and_come_back_to_the_letter_and_screens_are_inert(
    lake: Path, tmp_path: Path, run: Callable[..., Any], strings: list[str]
) -> None:
    made = {text: record_with(text) for text in strings}
    ran = run("ingest", write_lines(tmp_path / "log", made.values()), "--lake", lake, "--json")
    assert ran.code == 0, ran
    rows = {row["request_id"]: row for row in run("find", "--lake", lake, "--json").rows}
    assert len(rows) == len(made)
    for text, record in made.items():
        row = rows[record["request_id"]]
        assert (row["outcome"], row["model_version"], row["environment"]) == (text, text, text)
    screen = run("find", "--lake", lake, "--limit", 2000)
    assert len(screen.out.splitlines()) == len(made) + 1, "one line a decision, whatever it says"
    assert_inert(screen.out)
    chosen = [*ESCAPES, *strings[::80]]
    for text in chosen:
        request = made[text]["request_id"]
        said = run("trace", request, "--lake", lake, "--no-replay", "--json").json
        assert said["decision"]["outcome"] == text
        assert {f["name"]: f["value"] for f in said["features"]}["x"] == text
        assert said["model"]["name"] == said["model"]["version"] == text
        assert said["config"]["values"] == {"note": text}
        assert said["steps"][0]["outputs"] == {"x": text}
        assert_inert(run("trace", request, "--lake", lake, "--no-replay", "--features").out)
    other = made[strings[5]]["request_id"]
    for text in chosen[::5]:
        assert_inert(run("diff", made[text]["request_id"], other, "--lake", lake).out)
    assert_inert(run("as-of", "2027-01-01", "--lake", lake).out)


def test_screens_are_inert_with_replay_too(
    lake: Path, tmp_path: Path, forensics_command: Callable[..., Any]
) -> None:
    record = record_with("\x1b[31m\u202e\x9b2J\x07")
    forensics_command("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake)
    ran = forensics_command("trace", record["request_id"], "--lake", lake)
    assert ran.code == 4, ran.err
    assert_inert(ran.out)
    assert_inert(ran.err)


@one_in
def test_as_ids_the_printable_ones_are_found_and_others_quarantined(
    lake: Path, tmp_path: Path, run: Callable[..., Any], strings: list[str], one_in: int
) -> None:
    made = {text: decision_record(request_id=text, subject={"id": text or "s"}) for text in strings}
    ran = run("ingest", write_lines(tmp_path / "log", made.values()), "--lake", lake, "--json")
    may = {text for text in strings if text.isprintable() and 1 <= len(text) <= 256}
    assert ran.json["landed"] == len(may)
    assert ran.json["quarantined"] == len(strings) - len(may) > 10
    assert {row["request_id"] for row in run("find", "--lake", lake, "--json").rows} == may
    assert all(item.reason.isprintable() for item in quarantine.load(lake))
    assert_inert(run("ingest", "--quarantine", "--lake", lake).out)
    for text in sorted(may)[::one_in]:
        said = run("trace", "--lake", lake, "--no-replay", "--json", "--", text)
        assert (said.code, said.json["request_id"]) == (4, text)
        found = run("find", f"--subject={text}", "--lake", lake, "--json").rows
        assert [row["request_id"] for row in found] == [text]


@one_in
def test_unknown_naughty_ids_are_not_found_and_messages_are_inert(
    lake: Path, tmp_path: Path, run: Callable[..., Any], strings: list[str], one_in: int
) -> None:
    run("ingest", write_lines(tmp_path / "log", [decision_record()]), "--lake", lake)
    for text in strings[::one_in] + ESCAPES:
        ran = run("trace", "--lake", lake, "--", text)
        assert ran.code == 3, (text, ran)
        assert ran.out == ""
        assert_inert(ran.err)


def test_as_feature_names_the_printable_ones_come_back(
    lake: Path, tmp_path: Path, run: Callable[..., Any], strings: list[str]
) -> None:
    made = {text: decision_record(features={text: 1.5}) for text in strings}
    ran = run("ingest", write_lines(tmp_path / "log", made.values()), "--lake", lake, "--json")
    found = {
        row["request_id"]: row["features"]
        for row in run("find", "--lake", lake, "--json", "--features").rows
    }
    assert ran.json["landed"] == len(found) > 300
    reasons = {json.loads(item.raw)["request_id"]: item.reason for item in quarantine.load(lake)}
    for text, record in made.items():
        request = record["request_id"]
        assert (request in found) != (request in reasons)
        if request in found:
            given = {name: value for name, value in found[request].items() if value is not None}
            assert given == {text: 1.5}
