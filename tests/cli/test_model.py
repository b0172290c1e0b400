"""``forensics model``: what is kept, what is refused, and whether decisions can be replayed."""

from __future__ import annotations

import csv
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from forensics.lake.artifacts import ArtifactStore, digest_of

Run = Callable[..., Any]

RULES = {
    "type": "rules",
    "name": "credit_line",
    "version": "7",
    "rules": [
        {"id": "R1", "when": "months_late >= max_months_late", "outcome": "DECLINE"},
        {"id": "R2", "when": "score >= config.threshold", "outcome": "DECLINE"},
    ],
    "default": {"id": "R0", "outcome": "APPROVE"},
}


def kept(lake: Path) -> list[str]:
    folder = lake / "artifacts" / "sha256"
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XGBoost model, with rows.csv and scores.csv beside it."""
    folder = tmp_path_factory.mktemp("model")
    rows = np.random.default_rng(2).normal(size=(80, 2)).astype("f4")
    matrix = xgb.DMatrix(rows, (rows[:, 0] > 0).astype(int), feature_names=["income", "debt"])
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 2}, matrix, 5)
    booster.save_model(folder / "pd.ubj")
    write_csv(folder / "rows.csv", [["income", "debt"], *rows.tolist()])
    write_csv(folder / "scores.csv", [["score"], *([x] for x in booster.predict(matrix).tolist())])
    return folder / "pd.ubj"


def write_csv(path: Path, rows: Any) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def write(folder: Path, document: Any, name: str = "file.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def test_a_model_is_kept_under_the_digest_that_decisions_record(
    lake: Path, model: Path, run: Run
) -> None:
    ran = run("model", "add", model, "--lake", lake)
    digest = digest_of(model.read_bytes())
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{digest}  pd.ubj\nxgboost model\n")
    assert f"run by xgboost {xgb.__version__}" in ran.out
    assert "income, debt" in ran.out
    assert "Decisions with it can be replayed here." in ran.out
    assert ArtifactStore(lake).read(digest) == model.read_bytes()
    again = run("model", "add", model, "--lake", lake, "--json").json
    assert again["digest"] == digest
    assert (again["kind"], again["replayable"], again["features"]) == (
        "model", True, ["income", "debt"],
    )  # fmt: skip
    assert len(kept(lake)) == 1


def pickled(folder: Path) -> Path:
    path = folder / "model.bin"
    path.write_bytes(pickle.dumps({"weights": [1, 2]}))
    return path


def zipped_pickle(folder: Path) -> Path:
    path = folder / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps([1]))
    return path


def garbage(folder: Path) -> Path:
    path = folder / "model.txt"
    path.write_bytes(b"nothing in particular")
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (pickled, "Python pickle"),
        (zipped_pickle, "Python pickle in it"),
        (garbage, "no model format known here"),
        (lambda folder: write(folder, {**RULES, "default": None}), "not a whole rule set"),
        (lambda folder: write(folder, {"type": "rulez"}), "of type 'rulez'"),
        (
            lambda folder: write(folder, {**RULES, "rules": [
                {"id": "R1", "when": "read_text('/etc/passwd') = ''", "outcome": "DECLINE"}]}),
            "Function read_text is not allowed",
        ),
        (
            lambda folder: write(folder, {**RULES, "rules": [
                {"id": "R1", "when": "score >=", "outcome": "DECLINE"}]}),
            "Not an expression",
        ),
        (
            lambda folder: write(folder, {"type": "logic", "steps": [
                {"id": "m", "kind": "model", "artifact": "sha256:12"},
                {"id": "o", "kind": "expression", "sql": "m > 1"}]}),
            "digest",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_ends_with_1_and_nothing_is_kept(
    lake: Path, tmp_path: Path, run: Run, make: Callable[[Path], Path], said: str
) -> None:
    ran = run("model", "add", make(tmp_path), "--lake", lake)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
    assert kept(lake) == []


def test_rules_are_checked_and_the_names_that_they_use_are_told(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    path = write(tmp_path, RULES)
    said = run("model", "add", path, "--lake", lake, "--json").json
    assert said["kind"] == "rules"
    assert said["uses"] == ["months_late", "max_months_late", "config.threshold"]
    assert said["replayable"]
    ran = run("model", "add", path, "--lake", lake)
    assert ran.code == 0
    assert "rule set credit_line 7: score (model), rules (table)" in ran.out
    assert "months_late, max_months_late, config.threshold" in ran.out


def test_logic_that_names_an_artifact_which_is_not_there_is_kept_and_said(
    lake: Path, tmp_path: Path, model: Path, run: Run
) -> None:
    digest = digest_of(model.read_bytes())
    steps = [
        {"id": "pd", "kind": "model", "artifact": digest},
        {
            "id": "policy",
            "kind": "expression",
            "sql": "CASE WHEN pd > 0.5 THEN 'NO' ELSE 'YES' END",
        },
    ]
    path = write(tmp_path, {"type": "logic", "name": "line", "steps": steps})
    ran = run("model", "add", path, "--lake", lake, "--json")
    assert ran.code == 4
    assert ran.json["reasons"] == [f"artifact {digest} is not in the lake"]
    assert ran.json["digest"] == digest_of(path.read_bytes())
    assert len(kept(lake)) == 1
    assert run("model", "add", model, "--lake", lake).code == 0
    assert run("model", "add", path, "--lake", lake).code == 0


def test_a_configuration_is_kept_as_what_it_is(lake: Path, tmp_path: Path, run: Run) -> None:
    ran = run("model", "add", write(tmp_path, {"threshold": 0.3}), "--lake", lake)
    assert ran.code == 0
    assert "configuration of 1 values" in ran.out


def test_a_graph_of_another_engine_is_loaded_by_it(lake: Path, tmp_path: Path, run: Run) -> None:
    pytest.importorskip("zen")
    nodes = [{"id": "i", "name": "in", "type": "inputNode", "position": {"x": 0, "y": 0}}]
    ran = run("model", "add", write(tmp_path, {"nodes": nodes, "edges": []}), "--lake", lake)
    assert ran.code == 0, ran
    assert "ZEN decision graph" in ran.out
    broken = write(tmp_path, {"nodes": [{"type": "x"}], "edges": []})
    assert run("model", "add", broken, "--lake", lake).code == 1
    assert len(kept(lake)) == 1


def test_a_model_that_cannot_run_here_is_kept_as_evidence_and_ends_with_4(
    lake: Path, tmp_path: Path, model: Path, run: Run
) -> None:
    path = tmp_path / "newer.ubj"
    data = model.read_bytes()
    at = data.rindex(b"version")
    path.write_bytes(data[:at] + data[at:].replace(b"i\x03", b"i\x63", 1))
    ran = run("model", "add", path, "--lake", lake)
    assert ran.code == 4
    assert "runtime older than the model" in ran.out
    assert len(kept(lake)) == 1


def test_adding_needs_a_lake(tmp_path: Path, model: Path, run: Run) -> None:
    assert run("model", "add", model, "--lake", tmp_path / "none").code == 1
    assert run("model", "add", tmp_path / "absent", "--lake", tmp_path).code == 2


def test_check_answers_0_with_what_it_found(model: Path, run: Run) -> None:
    ran = run("model", "check", model)
    assert (ran.code, ran.err) == (0, "")
    assert "Decisions of this model can be replayed here." in ran.out
    rows, expect = model.with_name("rows.csv"), model.with_name("scores.csv")
    ran = run("model", "check", model, "--rows", rows, "--expect", expect)
    assert ran.code == 0
    assert "80 rows run" in ran.out
    assert "score: 80 of 80 are equal" in ran.out
    assert "tolerance 1e-06" in ran.out


def test_check_answers_4_with_the_difference(tmp_path: Path, model: Path, run: Run) -> None:
    with model.with_name("scores.csv").open() as file:
        lines = list(csv.reader(file))
    lines[9] = [repr(float(lines[9][0]) + 0.125)]
    expect = write_csv(tmp_path / "e.csv", lines)
    given = ["model", "check", model, "--rows", model.with_name("rows.csv"), "--expect", expect]
    ran = run(*given)
    assert ran.code == 4
    assert "score: 79 of 80 are equal" in ran.out
    assert "largest difference 0.125" in ran.out
    assert "row 9: expected" in ran.out
    assert "cannot be replayed here: it does not answer what is expected: score" in ran.out
    said = run(*given, "--json").json
    (compared,) = said["comparisons"]
    assert (compared["bit_equal"], compared["worst_row"]) == (79, 9)
    assert compared["largest_absolute"] == pytest.approx(0.125)
    assert said["replayable"] is False
    assert run(*given, "--tolerance", "0.2").code == 0


def test_check_answers_4_with_the_reason_for_a_refusal(tmp_path: Path, run: Run) -> None:
    for make, reason in ((pickled, "Python pickle"), (zipped_pickle, "Python pickle in it")):
        ran = run("model", "check", make(tmp_path))
        assert ran.code == 4
        assert reason in ran.out


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_check_answers_4_for_half_a_model(
    tmp_path: Path, model: Path, run: Run, share: float
) -> None:
    path = tmp_path / "half.ubj"
    path.write_bytes(model.read_bytes()[: int(model.stat().st_size * share)])
    ran = run("model", "check", path)
    assert ran.code == 4
    assert "not a whole XGBoost model" in ran.out


def test_check_answers_4_for_rows_of_other_features_and_types(
    tmp_path: Path, model: Path, run: Run
) -> None:
    rows = write_csv(tmp_path / "a.csv", [["debt", "height"], ["1", "2"]])
    ran = run("model", "check", model, "--rows", rows)
    assert (ran.code, "features not in the rows: income" in ran.out) == (4, True)
    rows = write_csv(tmp_path / "b.csv", [["debt", "income"], ["1", "much"]])
    ran = run("model", "check", model, "--rows", rows)
    assert (ran.code, "feature income: 'much' in row 1 is no number" in ran.out) == (4, True)
    assert run("model", "check", model, "--rows", rows, "--missing", "much").code == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--expect", "scores.csv"], ["--rows", "absent.csv"], ["--trees", "0"],
        ["--tolerance", "-1"], ["--rows", "."], ["--rows", "rows.csv", "--expect", "rows.csv"],
    ],
)  # fmt: skip
def test_check_answers_2_to_a_question_that_cannot_be_asked(
    model: Path, run: Run, options: list[str]
) -> None:
    given = [str(model.parent / text) if text.endswith((".csv", ".")) else text for text in options]
    ran = run("model", "check", model, *given)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_check_of_a_public_model_as_its_authors_checked_it(corpus: Path, run: Run) -> None:
    folder = corpus / "models" / "lightgbm_jpmml"
    for trees, end in ((None, ""), (17, "@17")):
        ran = run(
            "model", "check", folder / "lgbm" / "ClassificationAudit.txt",
            "--rows", folder / "csv" / "Audit.csv",
            "--expect", folder / "csv" / f"ClassificationAudit{end}.csv",
            *(["--trees", trees] if trees else []), "--tolerance", "0", "--json",
        )  # fmt: skip
        assert ran.code == 0
        assert [c["bit_equal"] for c in ran.json["comparisons"]] == [1899] * 3


def test_hostile_names_are_inert(tmp_path: Path, run: Run) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 1)).astype("f4")
    matrix = xgb.DMatrix(rows, rows[:, 0] > 0, feature_names=["a\x1bMb\u202e"])
    xgb.train({"objective": "binary:logistic"}, matrix, 2).save_model(tmp_path / "m.ubj")
    ran = run("model", "check", tmp_path / "m.ubj")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
