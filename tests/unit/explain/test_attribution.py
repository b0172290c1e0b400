"""Attributions: additive, in the unit of the margin, and recorded ones before recomputed ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from credit import FEATURES

from forensics.errors import ReplayError
from forensics.explain.attribution import attribution
from forensics.replay.session import ReplaySession


def test_values_are_xgboosts_own_and_add_up(service: Any) -> None:
    for decision in service.declined(10):
        row = [np.nan if decision.features[n] is None else decision.features[n] for n in FEATURES]
        matrix = xgb.DMatrix(np.array([row], "f4"), feature_names=list(FEATURES))
        expected = service.booster.predict(matrix, pred_contribs=True)[0]
        with ReplaySession(decision, service.kept) as session:
            found = attribution(session)
        assert found.unit == "log_odds"
        assert found.evidence == "recomputed"
        assert [found.values[name] for name in FEATURES] == expected[:-1].tolist()
        assert found.base_value == expected[-1]
        assert found.additivity_error is not None
        assert found.additivity_error < 1e-5
        sizes = [abs(value) for value in found.values.values()]
        assert sizes == sorted(sizes, reverse=True)


def test_the_threshold_is_in_the_unit_of_the_values(service: Any) -> None:
    decision = replace(service.declined(1)[0], threshold=0.6)
    with ReplaySession(decision, service.kept) as session:
        found = attribution(session)
    assert found.threshold_value == pytest.approx(math.log(0.6 / 0.4))


def test_the_threshold_comes_from_the_configuration_where_none_was_recorded(service: Any) -> None:
    decision = replace(service.declined(1)[0], threshold=None)
    with ReplaySession(decision, service.kept) as session:
        assert attribution(session).threshold_value == 0.0


def test_a_recorded_explanation_is_told_as_recorded_and_checked(service: Any) -> None:
    decision = service.declined(1)[0]
    with ReplaySession(decision, service.kept) as session:
        base, values, _ = session.contributions()
    explanation = {
        "method": "shap 0.51 interventional",
        "unit": "log_odds",
        "base_value": base,
        "attributions": {**values, "income": values["income"] + 0.25},
    }
    with ReplaySession(replace(decision, explanation=explanation), service.kept) as session:
        found = attribution(session)
    assert found.evidence == "recorded"
    assert found.method == "shap 0.51 interventional"
    assert found.additivity_error == pytest.approx(0.25, abs=1e-5)


def test_a_recorded_explanation_needs_no_model(service: Any) -> None:
    explanation = {"attributions": [("income", -0.5), ("age", 1.5)]}
    decision = replace(service.declined(1)[0], explanation=explanation, model={})
    with ReplaySession(decision, service.kept) as session:
        found = attribution(session)
    assert list(found.values) == ["age", "income"]
    assert math.isnan(found.base_value)
    assert found.additivity_error is None


def test_without_model_or_record_the_reason_is_told(service: Any) -> None:
    decision = replace(service.declined(1)[0], model={})
    with (
        ReplaySession(decision, service.kept) as session,
        pytest.raises(ReplayError, match=r"model\.digest"),
    ):
        attribution(session)
