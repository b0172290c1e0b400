"""A reference population: pinned by digest, whole, and of the same question as the decision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forensics.errors import UsageError
from forensics.explain.reference import Reference, base_value, check_fits, read_reference
from forensics.records.replay import Attribution, Background

DIGEST = "sha256:" + "a" * 64
TREES = "xgboost pred_contribs (path-dependent TreeSHAP)"
REFERENCE = Reference(
    statement="9 decisions", contributions={"income": -0.25}, medians={"income": 40_000.0},
    decisions=9, decision_point="credit_line", model_digest=DIGEST, method=TREES,
    unit="log_odds", output=None, higher_is_adverse=True,
)  # fmt: skip
ATTRIBUTION = Attribution(TREES, "log_odds", -1.0, {"income": 0.5}, 0.0)


def test_what_is_written_reads_back() -> None:
    read = read_reference(REFERENCE.to_bytes(), DIGEST)
    assert read == REFERENCE._replace(digest=DIGEST)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "type is not reference"),
        (b'{"type": "rules"}', "type is not reference"),
        (b'{"type": "reference"}', "not whole"),
    ],
)
def test_what_is_none_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_reference(data, DIGEST)


@pytest.mark.parametrize(
    ("field", "value"),
    [("contributions", {"income": "much"}), ("contributions", {"income": "NaN"}),
     ("contributions", [1]), ("decisions", "many"), ("medians", {"income": None})],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(field: str, value: Any) -> None:
    document = {**json.loads(REFERENCE.to_bytes()), field: value}
    with pytest.raises(UsageError, match="not whole"):
        read_reference(json.dumps(document).encode(), DIGEST)


@pytest.mark.parametrize(
    ("field", "value"),
    [("decision_point", "fraud"), ("model_digest", "sha256:" + "b" * 64), ("method", "shap"),
     ("unit", "probability"), ("output", "2")],
)  # fmt: skip
def test_a_reference_of_another_question_is_refused(field: str, value: str) -> None:
    check_fits(REFERENCE, ATTRIBUTION, DIGEST, "credit_line")
    other = REFERENCE._replace(**{field: value})
    with pytest.raises(UsageError, match=f"of another {field.split('_')[0]}"):
        check_fits(other, ATTRIBUTION, DIGEST, "credit_line")


def test_a_base_value_stands_for_a_population_only_where_the_method_pins_one() -> None:
    trees = base_value(ATTRIBUTION)
    assert trees is not None
    assert "training data" in trees.statement
    background = Background("sha256:" + "c" * 64, 40)
    rows = base_value(Attribution("shap Exact", "value", 0.0, {}, 0.0, background=background))
    assert rows is not None
    assert (rows.digest, rows.decisions) == (background.digest, 40)
    line = "xgboost coefficient times value, as the model prepares it (compared with zeros)"
    assert base_value(Attribution(line, "log_odds", 0.0, {}, 0.0)) is None
