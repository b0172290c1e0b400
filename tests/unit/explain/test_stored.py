"""Attributions of a window: each decision's own, stored once, and never used when out of date."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pyarrow.parquet as pq
import pytest
import xgboost as xgb
from credit import FEATURES, RULES, applicants, features_of

from forensics.errors import ReplayError, UsageError
from forensics.explain.attribution import recomputed
from forensics.explain.stored import ModelWindow, Window, attributions
from forensics.lake import derived
from forensics.lake.artifacts import ArtifactStore, digest_of
from forensics.lake.compact import compact
from forensics.lake.read import decision, records
from forensics.lake.snapshot import take
from forensics.records.times import to_micros
from forensics.replay.client import ModelWorker
from forensics.replay.session import ReplaySession
from forensics.testing import decision_record

POINT = "credit_line"
ROWS = applicants(400, 3)
NARROW = ROWS.astype("f4")
KNOWN = np.nan_to_num(ROWS)
RISK = KNOWN[:, 2] + 0.8 * KNOWN[:, 3] - KNOWN[:, 0] / 40_000
TWO = (np.median(RISK) < RISK).astype(int)
START = datetime(2026, 10, 1, tzinfo=UTC)

TakeIn = Callable[..., Any]


def boosted(folder: Path, name: str = "model", rounds: int = 12, **options: Any) -> xgb.Booster:
    matrix = xgb.DMatrix(NARROW, TWO, feature_names=list(FEATURES))
    given = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "verbosity": 0}
    booster = xgb.train({**given, **options}, matrix, rounds)
    booster.save_model(folder / f"{name}.ubj")
    return booster


class Town:
    """A lake, its models, and the decisions that they make."""

    def __init__(self, lake: Path, take_in: TakeIn) -> None:
        self.lake = lake
        self.artifacts = ArtifactStore(lake)
        self.rules = self.artifacts.put(json.dumps(RULES).encode())
        self._take_in = take_in

    def model(self, path: Path) -> str:
        return self.artifacts.put(path.read_bytes())

    def decide(
        self,
        digest: str,
        scores: Iterable[float],
        first: int = 0,
        rows: Iterable[Mapping[str, Any]] = (),
        **changes: Any,
    ) -> None:
        """Take in a decision for each score, an hour after another, with the rows' features."""
        features = list(rows) or [features_of(row) for row in ROWS]
        found = []
        for at, score in enumerate(scores, first):
            found.append(
                decision_record(
                    decision_id=f"d-{at}",
                    request_id=f"r-{at}",
                    occurred_at=(START + timedelta(hours=at)).isoformat(),
                    features=features[at],
                    outcome="DECLINE" if score >= 0.5 else "APPROVE",
                    **{
                        "score": float(score),
                        "score_dtype": "float32",
                        "score_bytes": struct.pack("<f", score).hex(),
                        "model": {"name": "pd", "version": "1", "digest": digest},
                        "steps": [{"id": "policy", "kind": "rules", "digest": self.rules}],
                        **changes,
                    },
                )
            )
        report = self._take_in(found)
        assert not report.quarantined

    def window(self, **options: Any) -> Window:
        ends = [options.pop(name, None) for name in ("since", "until")]
        micros = [None if each is None else to_micros(each) for each in ends]
        return attributions(take(self.lake), self.artifacts, POINT, *micros, **options)

    def one(self, identifier: str) -> dict[str, float]:
        """The contributions that explaining this decision alone gives."""
        snapshot = take(self.lake)
        (kept,) = records(snapshot, snapshot.locate(identifier))
        found = decision(kept, snapshot.tables[f"decisions/{POINT}"].features)
        with ReplaySession(found, self.artifacts) as session:
            return dict(recomputed(session).values)


def hours(count: int) -> datetime:
    return START + timedelta(hours=count)


def everything(found: Window) -> dict[str, dict[str, float]]:
    """By decision id, the contributions by feature."""
    return {id_: each for model in found.models for id_, each in everything_of(model).items()}


def everything_of(model: ModelWindow) -> dict[str, dict[str, float]]:
    answer = {}
    for piece in model.pieces():
        for at in range(len(piece.rows)):
            id_ = piece.decision_ids[at].as_py()
            assert id_ is not None
            values = piece.values[at].tolist()
            answer[id_] = dict(zip(model.scorer.names, values, strict=True))
    return answer


@pytest.fixture
def town(lake: Path, take_in: TakeIn) -> Town:
    return Town(lake, take_in)


@pytest.fixture
def two_files(town: Town, tmp_path: Path) -> Town:
    """Sixty decisions in two data files."""
    booster = boosted(tmp_path)
    digest = town.model(tmp_path / "model.ubj")
    scores = booster.inplace_predict(NARROW)
    town.decide(digest, scores[:40])
    town.decide(digest, scores[40:60], first=40)
    return town


def test_every_decisions_values_are_those_of_explaining_it_alone(two_files: Town) -> None:
    with two_files.window() as found:
        values = everything(found)
        assert found.decisions == len(values) == 60
        assert found.not_explained == {}
        for id_ in ("d-0", "d-17", "d-59"):
            assert values[id_] == two_files.one(id_)
        (model,) = found.models
        pieces = list(model.pieces())
    error = [abs(p.base + p.values.sum(axis=1, dtype="f8") - p.margins).max() for p in pieces]
    assert max(error) < 1e-5
    assert all(piece.confirmed.all() for piece in pieces)
    assert model.scorer.unit == "log_odds"
    assert model.scorer.method == "xgboost pred_contribs (path-dependent TreeSHAP)"


def test_a_window_has_the_decisions_from_its_first_moment_to_before_its_last(
    two_files: Town,
) -> None:
    with two_files.window(since=hours(5), until=hours(45)) as found:
        assert set(everything(found)) == {f"d-{at}" for at in range(5, 45)}
        assert found.decisions == 40


def test_what_was_stored_is_used_again_and_gives_the_same(two_files: Town) -> None:
    with two_files.window(store=True) as found:
        first = everything(found)
        assert (found.computed, found.reused) == (2, 0)
        assert found.stored == two_files.lake / "derived" / "attributions" / POINT
    with two_files.window() as found:
        assert (found.computed, found.reused) == (0, 2)
        assert everything(found) == first


def test_nothing_is_left_of_what_was_not_to_be_stored(two_files: Town) -> None:
    with two_files.window() as found:
        scratch = found.scratch
        assert scratch is not None
        assert scratch.is_dir()
    assert not scratch.exists()
    assert not (two_files.lake / "derived").exists()


def test_a_window_that_cuts_through_a_file_does_not_stand_for_the_whole(two_files: Town) -> None:
    with two_files.window(since=hours(10), store=True) as found:
        assert len(everything(found)) == 50
    with two_files.window() as found:
        assert (found.computed, found.reused) == (1, 1)
        assert len(everything(found)) == 60


def test_a_damaged_file_is_never_used(two_files: Town) -> None:
    with two_files.window(store=True) as found:
        first = everything(found)
    damaged = sorted((two_files.lake / "derived" / "attributions" / POINT).glob("*.parquet"))[0]
    offset = pq.read_metadata(damaged).row_group(0).column(7).data_page_offset + 40
    raw = bytearray(damaged.read_bytes())
    raw[offset] ^= 1
    damaged.write_bytes(raw)
    with two_files.window(store=True) as found:
        assert (found.computed, found.reused) == (1, 1)
        assert everything(found) == first


def test_a_file_under_anothers_name_is_never_used(two_files: Town) -> None:
    with two_files.window(store=True) as found:
        first = everything(found)
    a, b = sorted((two_files.lake / "derived" / "attributions" / POINT).glob("*.parquet"))
    held = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(held)
    with two_files.window() as found:
        assert (found.computed, found.reused) == (2, 0)
        assert everything(found) == first


def test_compaction_removes_what_was_made_from_the_files_that_it_replaces(
    two_files: Town,
) -> None:
    with two_files.window(store=True) as found:
        first = everything(found)
    assert compact(two_files.lake, grace_hours=0).removed == 4  # two data files, two of ours
    assert list(derived.folder(two_files.lake, POINT).glob("*")) == []
    with two_files.window(store=True) as found:
        assert (found.computed, found.reused) == (1, 0)
        assert everything(found) == first


def test_storing_sweeps_what_is_left_of_files_that_are_gone(two_files: Town) -> None:
    with two_files.window(store=True):
        pass
    place = derived.folder(two_files.lake, POINT)
    held = {path.name: path.read_bytes() for path in place.iterdir()}
    compact(two_files.lake, grace_hours=0)
    for name, data in held.items():  # as if compaction had died before it swept
        (place / name).write_bytes(data)
    (place / "broken.parquet").write_bytes(b"no Parquet")
    with two_files.window(store=True) as found:
        assert found.removed == 3
    assert len(list(place.iterdir())) == 1


def test_what_another_version_of_the_library_computed_is_replaced(
    two_files: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version is part of what attributions are kept under, as the key says it."""
    with monkeypatch.context() as patch:
        patch.setattr("forensics.explain.scorers.Scorer.runtime", "xgboost 3.1.0")
        with two_files.window(store=True) as found:
            assert found.computed == 2
    with two_files.window(store=True) as found:
        assert (found.computed, found.reused, found.removed) == (2, 0, 2)
    with two_files.window(store=True, since=hours(50)) as found:
        assert found.removed == 0
    with two_files.window() as found:
        assert found.reused == 2


def test_another_model_is_explained_by_itself(two_files: Town, tmp_path: Path) -> None:
    model = catboost.CatBoostClassifier(
        iterations=9, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(catboost.Pool(NARROW, TWO, feature_names=list(FEATURES)))
    model.save_model(str(tmp_path / "model.cbm"))
    digest = two_files.model(tmp_path / "model.cbm")
    scores = model.predict_proba(NARROW)[:, 1]
    exact = [struct.pack("<d", score).hex() for score in scores]
    for at in range(60, 64):
        two_files.decide(
            digest, scores[at : at + 1], first=at, score_dtype="float64", score_bytes=exact[at]
        )
    with two_files.window() as found:
        assert sorted(m.scorer.runtime.split()[0] for m in found.models) == ["catboost", "xgboost"]
        values = everything(found)
        assert len(values) == 64
        assert values["d-61"] == two_files.one("d-61")
        assert all(p.confirmed.all() for m in found.models for p in m.pieces())


def test_one_output_of_several_is_taken_as_the_logic_says(town: Town, tmp_path: Path) -> None:
    label = np.digitize(RISK, np.quantile(RISK, [0.4, 0.8]))
    matrix = xgb.DMatrix(NARROW, label, feature_names=list(FEATURES))
    options = {"objective": "multi:softprob", "num_class": 3, "nthread": 1, "max_depth": 3}
    booster = xgb.train({**options, "verbosity": 0}, matrix, 6)
    booster.save_model(tmp_path / "model.ubj")
    logic = {
        "type": "logic",
        "name": "grade",
        "steps": [
            {"id": "pd", "kind": "model", "output": 1},
            {"id": "policy", "kind": "table",
             "rules": [{"id": "R1", "when": "pd >= 0.5", "outcome": "DECLINE"}],
             "default": {"id": "R0", "outcome": "APPROVE"}},
        ],
        "score": "pd", "outcome": "policy",
    }  # fmt: skip
    steps = [
        {"id": "policy", "kind": "rules", "digest": town.artifacts.put(json.dumps(logic).encode())}
    ]
    scores = booster.predict(matrix)[:20, 1]
    town.decide(town.model(tmp_path / "model.ubj"), scores, steps=steps)
    expected = booster.predict(matrix, pred_contribs=True)[:20, 1]
    with town.window() as found:
        (model,) = found.models
        assert model.scorer.output == "1"
        (piece,) = model.pieces()
        assert piece.values.tolist() == expected[:, :-1].tolist()
        assert piece.confirmed.all()


def test_early_stopped_services_are_explained_with_the_rounds_they_used(
    town: Town, tmp_path: Path
) -> None:
    booster = boosted(tmp_path, rounds=20)
    booster.set_attr(best_iteration="6")
    booster.save_model(tmp_path / "early.ubj")
    digest = town.model(tmp_path / "early.ubj")
    early = booster.inplace_predict(NARROW, iteration_range=(0, 7))
    town.decide(digest, early[:10])
    whole = booster.inplace_predict(NARROW)
    town.decide(digest, whole[10:15], first=10)
    with town.window() as found:
        by_runtime = {m.scorer.runtime: sum(len(p.rows) for p in m.pieces()) for m in found.models}
        assert len(by_runtime) == 2
        (short,) = (name for name in by_runtime if "first 7 of 20 rounds" in name)
        assert by_runtime[short] == 10
        values = everything(found)
        assert values["d-3"] == town.one("d-3")
        assert values["d-12"] == town.one("d-12")


def test_a_cached_score_is_explained_by_the_model_that_made_the_entry(
    town: Town, tmp_path: Path
) -> None:
    old, new = boosted(tmp_path, "old", rounds=5), boosted(tmp_path, "new", rounds=9)
    digests = {name: town.model(tmp_path / f"{name}.ubj") for name in ("old", "new")}
    cache = {"hit": True, "model_digest": digests["old"]}
    town.decide(digests["new"], new.inplace_predict(NARROW)[:5])
    town.decide(digests["new"], old.inplace_predict(NARROW)[5:9], first=5, cache=cache)
    with town.window() as found:
        counts = {m.scorer.digest: sum(len(p.rows) for p in m.pieces()) for m in found.models}
        assert counts == {digests["new"]: 5, digests["old"]: 4}
        assert everything(found)["d-6"] == town.one("d-6")


def test_an_artifact_that_comes_later_leaves_nothing_stored_that_would_be_wrong(
    town: Town, tmp_path: Path
) -> None:
    """Without the entry's model its decisions are explained by the live one, with it no more."""
    old, new = boosted(tmp_path, "old", rounds=5), boosted(tmp_path, "new", rounds=9)
    digest = town.model(tmp_path / "new.ubj")
    entry = digest_of((tmp_path / "old.ubj").read_bytes())
    town.decide(digest, new.inplace_predict(NARROW)[:5])
    cache = {"hit": True, "model_digest": entry}
    town.decide(digest, old.inplace_predict(NARROW)[5:9], first=5, cache=cache)
    with town.window(store=True) as found:
        assert {m.scorer.digest for m in found.models} == {digest}
    assert town.model(tmp_path / "old.ubj") == entry
    with town.window(store=True) as found:
        ids = {m.scorer.digest: len(everything_of(m)) for m in found.models}
    assert ids == {digest: 5, entry: 4}


def test_a_card_that_gives_no_answer_is_told_and_adds_to_no_sum(town: Town) -> None:
    card = {
        "type": "scorecard", "version": 1, "base": 500,
        "features": [{"name": "income", "bins": [{"below": 30_000, "points": -10},
                                                 {"points": 5}]}],
    }  # fmt: skip
    digest = town.artifacts.put(json.dumps(card).encode())
    rows = [{"income": value} for value in (10_000.0, None, 50_000.0)]
    town.decide(digest, [490.0, 500.0, 505.0], rows=rows)
    with town.window() as found:
        assert {id_: each["income"] for id_, each in everything(found).items()} == {
            "d-0": -10.0, "d-2": 5.0,
        }  # fmt: skip
        assert found.models[0].scorer.unit == "points"
        assert found.not_explained == {"the model gives no answer to these inputs": 1}


def test_scores_that_the_model_does_not_give_are_told_apart(town: Town, tmp_path: Path) -> None:
    booster = boosted(tmp_path)
    scores = booster.inplace_predict(NARROW)[:10]
    scores[3] += np.float32(0.125)
    town.decide(town.model(tmp_path / "model.ubj"), scores)
    with town.window() as found:
        (piece,) = found.models[0].pieces()
    assert np.flatnonzero(~piece.confirmed).tolist() == [3]


def test_decisions_that_cannot_be_explained_are_counted_by_reason(
    town: Town, tmp_path: Path
) -> None:
    booster = boosted(tmp_path)
    scores = booster.inplace_predict(NARROW)
    digest = town.model(tmp_path / "model.ubj")
    rows = [features_of(row) for row in ROWS]
    del rows[2]["age"]
    town.decide(digest, scores[:5], rows=rows)
    town.decide("sha256:" + "0" * 64, scores[5:8], first=5)
    town.decide(digest, scores[8:9], first=8, model=None)
    with town.window() as found:
        assert found.decisions == 9
        assert set(everything(found)) == {"d-0", "d-1", "d-3", "d-4"}
        reasons = found.not_explained
    assert reasons["features.age"] == 1
    assert sum(count for why, count in reasons.items() if "0000" in why) == 3
    assert reasons["model.digest"] == 1


def test_text_where_the_model_needs_a_number_is_no_number(town: Town, tmp_path: Path) -> None:
    booster = boosted(tmp_path)
    rows = [{**features_of(row), "income": "high"} for row in ROWS]
    scores = booster.inplace_predict(NARROW)[:6]
    town.decide(town.model(tmp_path / "model.ubj"), scores, rows=rows)
    with town.window() as found:
        assert everything(found) == {}
        assert found.not_explained == {
            "features.income is string where the model needs a number": 6
        }
    with town.window(store=True) as found:
        assert found.not_explained != {}
    with town.window() as found:  # stored ones remember what they lack
        assert (found.reused, sum(found.not_explained.values())) == (1, 6)


def test_models_without_contributions_are_not_explained_by_columns(
    town: Town, tmp_path: Path
) -> None:
    import pandas
    import skops.io
    from sklearn.neural_network import MLPClassifier

    table = pandas.DataFrame(KNOWN, columns=list(FEATURES))
    model = MLPClassifier((3,), max_iter=60, tol=9.0, random_state=0).fit(table, TWO)
    skops.io.dump(model, tmp_path / "model.skops")
    town.decide(town.model(tmp_path / "model.skops"), [0.5])
    with town.window() as found:
        (why,) = found.not_explained
    assert "gives no contributions" in why


def test_categories_given_as_text_are_explained(town: Town, tmp_path: Path) -> None:
    import pandas

    regions = np.array(["north", "south", "east"])[np.arange(len(ROWS)) % 3]
    table = pandas.DataFrame({"income": KNOWN[:, 0], "region": regions})
    model = catboost.CatBoostClassifier(
        iterations=9, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(table, TWO ^ (regions == "south"), cat_features=["region"])
    model.save_model(str(tmp_path / "model.cbm"))
    rows = table.to_dict("records")
    rows[4]["region"] = None
    rows[5]["region"] = "never seen"
    digest = town.model(tmp_path / "model.cbm")
    steps: list[Any] = []
    town.decide(digest, model.predict_proba(table)[:8, 1], rows=rows, steps=steps)
    with town.window() as found:
        values = everything(found)
        assert set(values) == {f"d-{at}" for at in range(8) if at != 4}
        for id_ in ("d-0", "d-1", "d-5"):
            assert values[id_] == town.one(id_)
        (why,) = found.not_explained
    assert "feature region is a category and is missing" in why


def test_all_can_be_exported_as_one_file(two_files: Town, tmp_path: Path) -> None:
    target = tmp_path / "all.parquet"
    with two_files.window() as found:
        assert found.export(target) == 60
        values = everything(found)
    rows = pq.read_table(target).to_pylist()
    assert [row["decision_id"] for row in rows] == [f"d-{at}" for at in range(60)]
    for row in rows:
        mine = {name: row[f"contributions.{name}"] for name in FEATURES}
        assert mine == values[row["decision_id"]]
        assert abs(row["base_value"] + sum(mine.values()) - row["margin"]) < 1e-5
        assert row["model_digest"] == found.models[0].scorer.digest


def test_an_empty_window_is_an_answer_and_an_unknown_point_is_none(
    two_files: Town, tmp_path: Path
) -> None:
    with two_files.window(since=hours(500), until=hours(600)) as found:
        assert (found.decisions, found.models) == (0, [])
        assert found.export(tmp_path / "none.parquet") == 0
    with pytest.raises(UsageError, match="No decision point 'other'"):
        attributions(take(two_files.lake), two_files.artifacts, "other")
    with pytest.raises(UsageError, match="ends before it begins"):
        two_files.window(since=hours(6), until=hours(5))


def test_a_model_that_dies_on_the_way_leaves_no_half_file(
    two_files: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(worker: ModelWorker, *_: Any) -> Any:
        worker.close()
        raise ReplayError("the model's process was killed")

    monkeypatch.setattr("forensics.explain.window.ask", dies)
    with pytest.raises(ReplayError, match="killed"):
        two_files.window(store=True)
    assert list((two_files.lake / "derived" / "attributions" / POINT).iterdir()) == []
