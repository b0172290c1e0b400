"""``forensics explain``: one decision on a screen, a window in tables, and what they exit with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from forensics.lake.artifacts import ArtifactStore
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]

TEMPLATES = """
adverse = ["DECLINE"]
adverse_score = "high"

[features.utilisation_3m]
text_high = "Balances are high compared with credit limits ({value:.0%})"
text_low = "Credit limits are hardly used"
group = "utilisation"

[features.utilisation_6m]
group = "utilisation"

[groups.utilisation]
code = "10"

[features.age]
prohibited = true
"""


@pytest.fixture
def own_lake(sample_lake: Path, tmp_path: Path) -> Path:
    """The sample lake, to be written to."""
    return Path(shutil.copytree(sample_lake, tmp_path / "own"))


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    path = tmp_path / "reasons.toml"
    path.write_text(TEMPLATES, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def showcase(truth: dict[str, Any]) -> str:
    return str(truth["incidents"][0]["showcase"])


def test_a_decision_fits_on_one_screen(sample_lake: Path, showcase: str, run: Run) -> None:
    ran = run("explain", showcase, "--reasons", "--lake", sample_lake)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("DECLINE   credit_line")
    assert "replay: bit exact" in ran.out
    assert "utilisation_3m          48.44  +1.49 █" in ran.out
    assert "method: xgboost pred_contribs (path-dependent TreeSHAP)" in ran.out
    assert "  1  +1.49 log-odds    utilisation_3m: 48.44 (no template" in ran.out
    assert "age may stand for a prohibited basis" in ran.out
    assert "what would have changed it" in ran.out
    assert len(lines) < 40
    assert max(map(len, lines)) <= 100


def test_json_has_method_unit_base_value_and_error(
    sample_lake: Path, showcase: str, run: Run
) -> None:
    ran = run("explain", showcase, "--json", "--counterfactuals", 0, "--lake", sample_lake)
    found = ran.json["attributions"]
    assert ran.code == 0
    assert found["unit"] == "log_odds"
    assert found["evidence"] == "recomputed"
    assert found["additivity_error"] < 1e-5
    assert found["values"][0]["feature"] == "utilisation_3m"
    total = found["base_value"] + sum(each["value"] for each in found["values"])
    assert total == pytest.approx(0.388, abs=0.001)
    assert ran.json["reasons"] is None
    assert ran.json["counterfactuals"] == []
    assert ran.json["counterfactual_search"]["reason"] == "it was not asked for"


def test_what_would_have_changed_it_is_proven_or_said_not_to_be(
    sample_lake: Path, showcase: str, run: Run
) -> None:
    ran = run("explain", showcase, "--time", 5, "--json", "--lake", sample_lake).json
    (change,) = ran["counterfactuals"]
    assert change["verified"]
    assert ran["counterfactual_search"]["status"] in ("optimal", "gap")
    assert ran["counterfactual_search"]["statement"]


def test_templates_word_the_reasons(
    sample_lake: Path, showcase: str, templates: Path, run: Run
) -> None:
    ran = run(
        "explain", showcase, "--reasons", "--templates", templates, "--lake", sample_lake, "--json"
    )
    first = ran.json["reasons"]["items"][0]
    assert first["text"] == "Balances are high compared with credit limits (4844%)"
    assert first["features"] == ["utilisation_3m", "utilisation_6m"]
    assert first["code"] == "10"
    assert first["template"]


def test_a_window_is_pinned_as_the_reference_of_later_reasons(
    own_lake: Path, showcase: str, templates: Path, run: Run
) -> None:
    window = ("--since", "2026-10-18", "--until", "2026-10-21")
    pinned = run(
        "explain", "--decision-point", "credit_line", *window, "--templates", templates, "--pin",
        "--lake", own_lake, "--json",
    ).json  # fmt: skip
    model = run("explain", showcase, "--json", "--lake", own_lake).json["decision"]["model_digest"]
    (reference,) = (each for each in pinned["references"] if each["model_digest"] == model)
    assert ArtifactStore(own_lake).has(reference["digest"])
    templates.write_text(f'reference = "{reference["digest"]}"\n{TEMPLATES}', encoding="utf-8")
    ran = run(
        "explain", showcase, "--reasons", "--templates", templates, "--lake", own_lake, "--json"
    )
    assert ran.code == 0
    assert ran.json["reasons"]["reference_digest"] == reference["digest"]
    assert "with outcome APPROVE or REFER from 2026-10-18" in ran.json["reasons"]["reference"]
    named = run(
        "explain", showcase, "--reasons", "--reference", reference["digest"], "--adverse",
        "DECLINE", "--lake", own_lake, "--json",
    )  # fmt: skip
    assert named.json["reasons"]["reference_digest"] == reference["digest"]


def test_interventional_values_compare_with_a_file_of_rows(
    sample_lake: Path, showcase: str, tmp_path: Path, run: Run
) -> None:
    found = run(
        "find", "--point", "credit_line", "--limit", 30, "--features", "--json", "--lake",
        sample_lake,
    ).rows  # fmt: skip
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([row["features"] for row in found]), encoding="utf-8")
    ran = run(
        "explain", showcase, "--interventional", "--background", rows, "--lake", sample_lake,
        "--json",
    )  # fmt: skip
    attributions = ran.json["attributions"]
    assert ran.code == 0
    assert attributions["method"] == "xgboost trees and coefficients (interventional)"
    assert attributions["background"]["rows"] == 30
    assert attributions["additivity_error"] < 1e-4
    screen = run(
        "explain", showcase, "--interventional", "--background", rows, "--lake", sample_lake
    )
    assert "over all 30 rows of" in screen.out


def test_recorded_attributions_are_shown_beside_recomputed_ones(
    sample_lake: Path, run: Run
) -> None:
    found = run(
        "find", "--point", "credit_line", "--since", "2026-10-28", "--outcome", "DECLINE",
        "--limit", 200, "--json", "--lake", sample_lake,
    ).rows  # fmt: skip
    for row in found:
        ran = run(
            "explain", row["request_id"], "--counterfactuals", 0, "--json", "--lake", sample_lake
        ).json["attributions"]
        if ran["evidence"] == "recorded":
            break
    else:
        pytest.skip("the sample records no attributions in these days")
    assert ran["agreement"]["max_difference"] < 1e-5
    assert ran["agreement"]["top_order"]


def test_4_when_a_decision_cannot_be_replayed_with_what_was_recorded_then(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    explanation = {
        "method": "shap", "unit": "log_odds", "base_value": -1.0,
        "attributions": {"amount": 0.75, "channel": -0.25}, "reasons": ["Amount too high"],
    }  # fmt: skip
    log = write_lines(
        tmp_path / "log", [decision_record(outcome="DECLINE", score=0.7, explanation=explanation)]
    )
    assert run("ingest", log, "--lake", lake).code == 0
    (row,) = run("find", "--lake", lake, "--json").rows
    ran = run("explain", row["request_id"], "--reasons", "--lake", lake)
    assert ran.code == 4
    assert "not replayable" in ran.out
    assert "recorded" in ran.out
    assert "amount" in ran.out
    assert "given at the time: Amount too high" in ran.out
    bare = write_lines(tmp_path / "bare", [decision_record(request_id="bare")])
    assert run("ingest", bare, "--lake", lake).code == 0
    ran = run("explain", "bare", "--reasons", "--lake", lake)
    assert ran.code == 4
    assert "why · missing" in ran.out
    assert "principal reasons · missing" in ran.out


def test_what_was_logged_is_inert_on_the_screen(lake: Path, tmp_path: Path, run: Run) -> None:
    hostile = "\x1b[2J\u202eevil"
    explanation = {"attributions": {hostile: 1.0}, "method": hostile, "reasons": [hostile]}
    log = write_lines(
        tmp_path / "log",
        [decision_record(request_id="h", outcome=hostile, explanation=explanation)],
    )
    assert run("ingest", log, "--lake", lake).code == 0
    ran = run("explain", "h", "--reasons", "--lake", lake)
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert "\\x1b[2J" in ran.out


def test_3_when_there_is_no_such_decision_file_or_artifact(
    sample_lake: Path, showcase: str, tmp_path: Path, run: Run
) -> None:
    assert run("explain", "never-7", "--lake", sample_lake).code == 3
    for option in ("--templates", "--reference"):
        ran = run(
            "explain", showcase, "--reasons", option, tmp_path / "no.toml", "--lake", sample_lake
        )
        assert ran.code == 3
        assert "cannot be read" in ran.err
    absent = "sha256:" + "0" * 64
    ran = run(
        "explain", showcase, "--interventional", "--background", absent, "--lake", sample_lake
    )
    assert ran.code == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name one decision, or a decision point."),
        (["7f3a-c1", "--point", "credit_line"], "Name one decision, or a decision point."),
        (["7f3a-c1", "--store"], "--store is for a window"),
        (["7f3a-c1", "--since", "2026-10-01"], "--since is for a window"),
        (["--point", "credit_line", "--reasons"], "--reasons is for one decision"),
        (["--point", "credit_line", "--background", "x"], "--background is for one decision"),
        (["--point", "credit_line", "--time", "1"], "--time is for one decision"),
        (["7f3a-c1", "--time", "-1"], "'--time'"),
        (["--point", "credit_line", "--pin"], "no outcome is named so"),
        (["--point", "nowhere"], "No decision point 'nowhere'"),
        (["7f3a-c1", "--interventional"], "Interventional attributions compare with rows"),
        (["7f3a-c1", "--background", "x"], "Add --interventional"),
        (["7f3a-c1", "--reasons", "--adverse", "REFER"], "DECLINE is not adverse"),
    ],
)
def test_2_when_the_question_cannot_be_asked_so(
    arguments: list[str], said: str, sample_lake: Path, run: Run
) -> None:
    ran = run("explain", *arguments, "--lake", sample_lake)
    assert ran.code == 2
    assert said in ran.err


def test_a_window_is_summed_up_by_model_feature_and_outcome(sample_lake: Path, run: Run) -> None:
    window = ("--point", "credit_line", "--since", "2026-10-20", "--until", "2026-10-21")
    ran = run("explain", *window, "--adverse", "DECLINE", "--lake", sample_lake, "--json")
    assert ran.code == 0
    found = ran.json
    assert found["decisions"] == found["explained"] > 900
    assert found["not_explained"] == []
    assert all(model["confirmed"] == model["decisions"] for model in found["models"])
    model = max(found["models"], key=lambda model: model["decisions"])
    assert model["features"][0]["feature"] == "utilisation_3m"
    assert 0 < model["features"][0]["among_reasons"] <= 1
    assert {each["outcome"] for each in model["outcomes"]} == {"APPROVE", "DECLINE", "REFER"}
    assert found["files"]["stored"] is None
    screen = run("explain", *window, "--adverse", "DECLINE", "--lake", sample_lake)
    assert "reason DECLINE" in screen.out
    assert "utilisation_3m" in screen.out
    assert not (sample_lake / "derived").exists()


def test_a_window_is_stored_and_used_again(own_lake: Path, tmp_path: Path, run: Run) -> None:
    window = ("--point", "credit_line", "--until", "2026-10-05", "--lake", own_lake)
    first = run("explain", *window, "--store", "--json").json
    assert first["files"]["computed"] == len(first["models"]) > 0
    target = tmp_path / "all.parquet"
    second = run("explain", *window, "--json", "--export", target)
    assert second.json["files"]["reused"] == len(first["models"])
    assert second.json["models"] == first["models"]
    assert f"{first['explained']:,} attributions in" in second.err
    assert pq.read_metadata(target).num_rows == first["explained"]


def test_4_when_some_of_a_window_cannot_be_explained(lake: Path, tmp_path: Path, run: Run) -> None:
    log = write_lines(tmp_path / "log", [decision_record() for _ in range(3)])
    assert run("ingest", log, "--lake", lake).code == 0
    ran = run("explain", "--point", "credit_line", "--lake", lake)
    assert ran.code == 4
    assert "3 not explained: model.digest" in ran.out


def test_an_export_that_cannot_be_written_is_told(
    sample_lake: Path, tmp_path: Path, run: Run
) -> None:
    ran = run(
        "explain", "--point", "credit_line", "--until", "2026-10-02", "--export",
        tmp_path / "no" / "such" / "file", "--lake", sample_lake,
    )  # fmt: skip
    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_5_when_the_record_is_not_what_was_sealed(own_lake: Path, showcase: str, run: Run) -> None:
    digest = run("explain", showcase, "--json", "--lake", own_lake).json["decision"]["model_digest"]
    path = ArtifactStore(own_lake).path(digest)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    ran = run("explain", showcase, "--lake", own_lake)
    assert ran.code == 5
    assert "not what was sealed" in ran.out


def test_explaining_a_decision_loads_nothing_heavy(sample_lake: Path, showcase: str) -> None:
    import subprocess
    import sys

    # The search for changes alone needs numpy.
    arguments = ["explain", showcase, "--reasons", "--counterfactuals", "0"]
    arguments += ["--lake", str(sample_lake)]
    code = (
        f"from forensics.cli.main import run\nassert run({arguments!r}) == 0\n"
        "import json, sys; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    names = {name.partition(".")[0] for name in json.loads(ran.stderr.splitlines()[-1])}
    assert not names & {"numpy", "pyarrow", "shap", "xgboost", "pandas", "polars", "deltalake"}
