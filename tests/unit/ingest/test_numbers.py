"""Numbers and texts through the whole lake: what was logged is what `trace --json` says."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forensics
from forensics.ingest.json_lines import decode_lines
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.records.jsontext import dumps
from forensics.testing import decision_record, write_lines

#: How a number may stand in a log. Digits are chosen, not values, so that all lengths occur.
_DIGITS = st.text("0123456789", min_size=1, max_size=30)
WRITTEN = st.one_of(
    st.integers(-(2**200), 2**200).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(lambda s, a, b: f"{s}{int(a)}.{b}", st.sampled_from(["", "-"]), _DIGITS, _DIGITS),
    st.builds(lambda a, b, e: f"{int(a)}.{b}e{e}", _DIGITS, _DIGITS, st.integers(-420, 420)),
    st.sampled_from(
        ["0", "-0", "-0.0", "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400",
         "9007199254740993", "18446744073709551616", "0.1", "1.0", "100", "1e2", "5e-324"]
    ),
)  # fmt: skip


def same(text: str, said: str) -> bool:
    """Whether ``said``, from `trace --json`, means exactly what ``text`` in the log meant."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return said == f'"{text}"'
    negative = [t.startswith("-") for t in (text, said)]
    try:
        a, b = Decimal(text), Decimal(said)
    except ArithmeticError:
        return text == said
    if a == b:
        return bool(a) or negative[0] == negative[1]
    # 17 digits name every double, and a double is written with as few as name it: another decimal,
    # the same double.
    digits = len("".join(map(str, a.as_tuple().digits)).strip("0"))
    return digits <= 17 and float(text) == float(said) and math.isfinite(float(a))


class _Number(str):
    """A number as it stands in JSON."""


NUMBERS = st.lists(WRITTEN, min_size=1, max_size=12)
LISTS = st.lists(st.lists(WRITTEN, min_size=1, max_size=5), min_size=1, max_size=6)
TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=12)


def said_of(lines: list[str], feature: str = "x") -> list[Any]:
    """What `trace --json` says of a feature of each of some decisions, numbers as they stand."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        layout.create(root)
        report = ingest(root, open_source(write_lines(Path(folder) / "log", lines)))
        assert report.landed_total == len(lines), report
        asked = forensics.open(root)
        said = []
        for line in lines:
            identifier = line.split('"request_id": "')[1].split('"')[0]
            text = dumps(asked.trace(identifier, replay=False)[0].to_dict())
            answer = json.loads(text, parse_float=_Number, parse_int=_Number)
            said += [f["value"] for f in answer["features"] if f["name"] == feature]
        return said


def line_with(written: str) -> str:
    return json.dumps(decision_record(features={"x": "HERE"})).replace('"HERE"', written)


@settings(max_examples=8, deadline=None)
@given(NUMBERS)
def test_any_number_comes_back_from_a_trace_as_it_was_written(written: list[str]) -> None:
    said = said_of([line_with(text) for text in written])
    for text, answer in zip(written, said, strict=True):
        shown = answer if isinstance(answer, _Number) else json.dumps(answer)
        assert same(text, shown), (text, shown)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_non_finite_numbers_may_be_logged_as_strings_as_protojson_does(text: str) -> None:
    assert said_of([line_with("1.5"), line_with(f'"{text}"')]) == ["1.5", text]


@settings(max_examples=6, deadline=None)
@given(LISTS)
def test_lists_of_numbers_come_back_as_they_were_written(lists: list[list[str]]) -> None:
    said = said_of([line_with(f"[{', '.join(written)}]") for written in lists])
    for written, answer in zip(lists, said, strict=True):
        shown = [a if isinstance(a, _Number) else json.dumps(a) for a in answer]
        assert len(shown) == len(written)
        assert all(map(same, written, shown)), (written, shown)


@settings(max_examples=6, deadline=None)
@given(TEXTS)
def test_any_text_comes_back_from_a_trace_as_it_was_written(texts: list[str]) -> None:
    assert said_of([line_with(json.dumps(text)) for text in ["first", *texts]]) == ["first", *texts]


@settings(max_examples=6, deadline=None)
@given(NUMBERS)
def test_scores_and_fields_outside_the_contract_keep_their_numbers(written: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        layout.create(root)
        made = [decision_record(score="HERE", own_field=["HERE"]) for _ in written]
        lines = [
            json.dumps(record).replace('"HERE"', text)
            for record, text in zip(made, written, strict=True)
        ]
        ingest(root, open_source(write_lines(Path(folder) / "log", lines)))
        for record, text in zip(made, written, strict=True):
            (found,) = forensics.open(root).trace(record["request_id"], replay=False)
            assert same(text, dumps(found.decision.score)), text
            assert same(text, dumps(found.decision.extra["own_field"])[1:-1]), text


@pytest.mark.torture
@pytest.mark.parametrize(
    ("test", "strategy"),
    [
        (test_any_number_comes_back_from_a_trace_as_it_was_written, NUMBERS),
        (test_lists_of_numbers_come_back_as_they_were_written, LISTS),
        (test_any_text_comes_back_from_a_trace_as_it_was_written, TEXTS),
        (test_scores_and_fields_outside_the_contract_keep_their_numbers, NUMBERS),
    ],
    ids=["numbers", "lists", "texts", "scores"],
)
def test_very_many_come_back_too(test: Any, strategy: st.SearchStrategy[Any]) -> None:
    settings(max_examples=200, deadline=None)(given(strategy)(test.hypothesis.inner_test))()


@settings(max_examples=200, deadline=None)
@given(WRITTEN)
def test_the_way_a_line_takes_does_not_change_its_numbers(text: str) -> None:
    lines = f'{{"x":{text}}}\n{{"x" :{text}}}\n'.encode()
    records, rejects = decode_lines(list(enumerate(lines.split(b"\n"), 1)))
    assert rejects == []
    (_, _, fast), (_, _, slow) = records
    assert dumps(fast, strict=False) == dumps(slow, strict=False)


def test_times_finer_than_a_microsecond_are_kept_as_they_were_written(
    lake: Path, take_in: Callable[..., Any]
) -> None:
    record = decision_record(occurred_at="2026-10-21T02:41:07.123456789Z")
    take_in([record])
    import pyarrow.parquet as pq

    from forensics.lake.snapshot import take

    (path,) = take(lake).paths("decisions/credit_line")
    (exact,) = pq.read_table(path, columns=["exact"])["exact"].to_pylist()
    assert exact == [("occurred_at", "2026-10-21T02:41:07.123456789Z")]
