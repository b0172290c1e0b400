"""What a window's attributions say together: checked by counting each decision by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from credit import FEATURES, applicants, features_of

from forensics.errors import UsageError
from forensics.explain.reasons import factors
from forensics.explain.reference import read_reference
from forensics.explain.stored import attributions
from forensics.explain.summary import ModelSummary, reference_of, summary
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import take
from forensics.testing import decision_record

POINT = "credit_line"
ROWS = applicants(120, 4)
NARROW = ROWS.astype("f4")
RISK = np.nan_to_num(ROWS)[:, 2] + 0.5 * np.nan_to_num(ROWS)[:, 3]


class Booked:
    """A lake of decisions of one model, with their contributions by the library's own package."""

    def __init__(self, lake: Path, take_in: Any, folder: Path) -> None:
        matrix = xgb.DMatrix(
            NARROW, (np.median(RISK) < RISK).astype(int), feature_names=list(FEATURES)
        )
        options = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "verbosity": 0}
        booster = xgb.train(options, matrix, 10)
        booster.save_model(folder / "model.ubj")
        self.lake = lake
        self.artifacts = ArtifactStore(lake)
        digest = self.artifacts.put((folder / "model.ubj").read_bytes())
        self.scores = booster.inplace_predict(NARROW)
        low, high = np.quantile(self.scores, [0.4, 0.7])
        self.outcomes = [
            "DECLINE" if score >= high else "REFER" if score >= low else "APPROVE"
            for score in self.scores
        ]
        self.contributions = booster.predict(matrix, pred_contribs=True).astype("f8")[:, :-1]
        take_in(
            [
                decision_record(
                    decision_id=f"d-{at}", request_id=f"r-{at}", features=features_of(row),
                    score=float(self.scores[at]), outcome=self.outcomes[at],
                    model={"digest": digest},
                )
                for at, row in enumerate(ROWS)
            ]
        )  # fmt: skip

    def summary(self, *adverse: str) -> ModelSummary:
        with attributions(take(self.lake), self.artifacts, POINT) as found:
            return summary(found.models[0], adverse)

    def rows(self, *outcomes: str) -> Any:
        return np.array([outcome in outcomes for outcome in self.outcomes])


@pytest.fixture
def booked(lake: Path, take_in: Any, tmp_path: Path) -> Booked:
    return Booked(lake, take_in, tmp_path)


def test_sizes_and_means_are_those_of_all_decisions(booked: Booked) -> None:
    found = booked.summary()
    assert found.decisions == found.confirmed == len(ROWS)
    assert found.additivity_error < 1e-5
    for each in found.features:
        column = booked.contributions[:, FEATURES.index(each.feature)]
        assert each.mean_absolute == pytest.approx(np.abs(column).mean())
        assert each.mean == pytest.approx(column.mean())
        assert each.among_reasons is None
    sizes = [each.mean_absolute for each in found.features]
    assert sizes == sorted(sizes, reverse=True)


def test_shares_are_how_often_a_feature_is_among_a_decisions_own_reasons(booked: Booked) -> None:
    """Each adverse decision's reasons one by one, against the mean of the others."""
    found = booked.summary("DECLINE")
    adverse = booked.rows("DECLINE")
    reference = dict(zip(FEATURES, booked.contributions[~adverse].mean(axis=0), strict=True))
    times = dict.fromkeys(FEATURES, 0)
    for row in booked.contributions[adverse]:
        values = dict(zip(FEATURES, row.tolist(), strict=True))
        for _, (name,) in factors(values, reference, higher_is_adverse=True)[:4]:
            times[name] += 1
    shares = {each.feature: each.among_reasons for each in found.features}
    assert shares == {name: pytest.approx(n / adverse.sum()) for name, n in times.items()}


def test_each_outcome_has_its_side_its_share_and_its_reference(booked: Booked) -> None:
    found = {each.outcome: each for each in booked.summary("DECLINE", "REFER").outcomes}
    adverse = booked.rows("DECLINE", "REFER")
    assert {name: each.adverse for name, each in found.items()} == {
        "APPROVE": False, "DECLINE": True, "REFER": True,
    }  # fmt: skip
    assert found["DECLINE"].higher
    assert found["REFER"].higher
    assert found["APPROVE"].higher is False
    assert found["DECLINE"].reference_decisions == int((~adverse).sum())
    assert found["APPROVE"].reference_decisions == int(adverse.sum())
    assert sum(each.decisions for each in found.values()) == len(ROWS)


def test_where_nothing_is_adverse_each_outcome_is_compared_with_all_others(
    booked: Booked,
) -> None:
    for each in booked.summary().outcomes:
        assert each.adverse is None
        assert each.reference_decisions == len(ROWS) - each.decisions
        mine = booked.rows(each.outcome)
        logit = np.log(booked.scores / (1 - booked.scores))
        assert each.higher == (logit[mine].mean() > logit[~mine].mean())


def test_no_decision_counts_more_than_four_features(booked: Booked) -> None:
    for each in booked.summary("DECLINE").outcomes:
        assert sum(feature.among_reasons or 0 for feature in each.features) <= 4 + 1e-9


def test_one_outcome_alone_has_nothing_to_be_compared_with(booked: Booked) -> None:
    every = booked.summary("DECLINE", "REFER", "APPROVE")
    assert all(each.higher is None for each in every.outcomes)
    assert all(f.among_reasons is None for each in every.outcomes for f in each.features)


def test_a_summary_is_plain_data(booked: Booked) -> None:
    found = booked.summary("DECLINE").to_dict()
    assert found["evidence"] == "recomputed"
    assert {"feature", "mean_absolute", "mean", "among_reasons"} == set(found["features"][0])
    assert found["outcomes"][0]["features"][0]["feature"] in FEATURES


def test_the_decisions_that_were_not_adverse_can_be_pinned_as_a_reference(booked: Booked) -> None:
    snapshot = take(booked.lake)
    with attributions(snapshot, booked.artifacts, POINT) as found:
        model = found.models[0]
        reference = reference_of(found, model, ["DECLINE"], snapshot, booked.artifacts)
    others = ~booked.rows("DECLINE")
    assert reference.decisions == int(others.sum())
    assert reference.higher_is_adverse
    assert f"{others.sum()} decisions of credit_line with outcome APPROVE or REFER" in (
        reference.statement
    )
    for name, value in reference.contributions.items():
        column = booked.contributions[others][:, FEATURES.index(name)]
        assert value == pytest.approx(column.mean())
    for name, value in reference.medians.items():
        assert value == pytest.approx(np.nanmedian(NARROW[others][:, FEATURES.index(name)]))
    digest = booked.artifacts.put(reference.to_bytes())
    kept = booked.artifacts.read(digest)
    assert kept is not None
    assert read_reference(kept, digest) == reference._replace(digest=digest)


def test_the_same_window_pins_the_same_bytes(booked: Booked) -> None:
    snapshot = take(booked.lake)
    made = []
    for _ in range(2):
        with attributions(snapshot, booked.artifacts, POINT) as found:
            reference = reference_of(
                found, found.models[0], ["DECLINE"], snapshot, booked.artifacts
            )
            made.append(reference.to_bytes())
    assert made[0] == made[1]


def test_medians_of_very_many_are_taken_of_evenly_spread_ones(
    booked: Booked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forensics.explain.summary._MEDIAN_ROWS_MAX", 10)
    snapshot = take(booked.lake)
    with attributions(snapshot, booked.artifacts, POINT) as found:
        reference = reference_of(found, found.models[0], ["DECLINE"], snapshot, booked.artifacts)
    others = NARROW[~booked.rows("DECLINE")]
    some = others[:: -(-len(others) // 10)]
    for name, value in reference.medians.items():
        assert value == pytest.approx(np.nanmedian(some[:, FEATURES.index(name)]))


@pytest.mark.parametrize("adverse", [[], ["NEVER"], ["APPROVE", "REFER", "DECLINE"]])
def test_a_reference_of_nobody_is_refused(booked: Booked, adverse: list[str]) -> None:
    snapshot = take(booked.lake)
    with (
        attributions(snapshot, booked.artifacts, POINT) as found,
        pytest.raises(UsageError, match="there are none"),
    ):
        reference_of(found, found.models[0], adverse, snapshot, booked.artifacts)
