"""A model in its child process: the same bytes as xgboost's own API, or a plain reason why not."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from credit import FEATURES, applicants

from forensics.errors import DependencyError, ReplayError
from forensics.replay import process
from forensics.replay.client import ModelWorker
from forensics.replay.libraries import find_library

ROWS = applicants(5000, 11).astype("f4")


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_gives_the_bytes_of_xgboosts_own_predictions(service: Any, form: str) -> None:
    matrix = xgb.DMatrix(ROWS, feature_names=list(FEATURES))
    with ModelWorker(service.folder / f"v2.{form}") as worker:
        value, margin, contributions = worker.predict(
            array("f", ROWS.tobytes()), len(ROWS), kinds=("value", "margin", "contributions")
        )
    assert value.tobytes() == service.booster.predict(matrix).tobytes()
    assert value.tobytes() == service.booster.inplace_predict(ROWS).tobytes()
    assert margin.tobytes() == service.booster.predict(matrix, output_margin=True).tobytes()
    assert contributions.tobytes() == service.booster.predict(matrix, pred_contribs=True).tobytes()


def test_contributions_add_up_to_the_margin(service: Any) -> None:
    rows = ROWS[:200]
    with ModelWorker(service.folder / "v2.ubj") as worker:
        flat, margin = worker.predict(
            array("f", rows.tobytes()), len(rows), kinds=("contributions", "margin")
        )
    sums = np.array(flat).reshape(len(rows), -1).sum(axis=1)
    assert np.abs(sums - np.array(margin)).max() < 1e-5


def test_single_rows_and_patched_columns_equal_the_batch(service: Any) -> None:
    base = array("f", ROWS[0].tobytes())
    values = array("f", [0.0, 0.5, float("nan"), 2.5])
    patched = np.repeat(ROWS[:1], 4, axis=0)
    patched[:, 2] = values
    with ModelWorker(service.folder / "v2.json") as worker:
        (answer,) = worker.predict(base, 4, columns={2: values})
        singles = [worker.predict(array("f", row.tobytes()), 1)[0][0] for row in patched]
        (unchanged,) = worker.predict(base, 3, columns={})
    assert answer.tobytes() == service.booster.inplace_predict(patched).tobytes()
    assert list(answer) == singles
    assert len(set(unchanged)) == 1


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_describes_names_versions_and_exact_cut_points(service: Any, form: str) -> None:
    with ModelWorker(service.folder / f"v2.{form}") as worker:
        found = worker.describe()
    assert found.features == FEATURES
    assert found.objective == "binary:logistic"
    assert found.runtime == f"xgboost {xgb.__version__}"
    assert found.file_version == xgb.__version__
    assert found.rounds == 60
    frame = json.loads((service.folder / "v2.json").read_text())
    trees = frame["learner"]["gradient_booster"]["model"]["trees"]
    for at, cuts in enumerate(found.cuts):
        expected = {
            np.float32(condition)
            for tree in trees
            for left, feature, condition in zip(
                tree["left_children"],
                tree["split_indices"],
                tree["split_conditions"],
                strict=True,
            )
            if left != -1 and feature == at
        }
        assert list(cuts) == sorted(expected)


@pytest.mark.parametrize("runtime", ["xgboost", "lightgbm", "linear"])
def test_the_child_loads_no_model_package_and_no_site_packages(runtime: str) -> None:
    """Each of these would cost more time than the model."""
    load = f"main;import forensics.replay.runtimes.{runtime};print(sorted(sys.modules));#"
    code = process.START.replace("main(a[2]", load)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, process.ROOT],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert f"forensics.replay.runtimes.{runtime}" in loaded
    heavy = {"numpy", "duckdb", "site", "typing", "dataclasses", "inspect", "pathlib", "subprocess"}
    assert not loaded & {"xgboost", "lightgbm", *heavy}


def _json_model(service: Any, tmp_path: Path, change: Any) -> Path:
    document = json.loads((service.folder / "v2.json").read_text())
    change(document)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document, separators=(",", ":")))
    return path


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ReplayError) as caught, ModelWorker(path, **options) as worker:
        worker.predict(array("f", [0.0] * len(FEATURES)), 1)
    return str(caught.value)


def test_a_pickle_is_refused_by_name_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    text = _refusal(path)
    assert "pickle" in text
    assert "save_model" in text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"garbage", "no model format known here"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"{}", "not a whole XGBoost model"),
        (b'{"learner": 3, "version": [3,0,0]}', "not a whole XGBoost model"),
        (b"{L" + b"\xff" * 30, "not a whole XGBoost model"),
        (b"{" + b"[" * 100_000, "not a whole XGBoost model"),
        (b'{"a":' * 100_000, "JSON, and no model"),
    ],
    ids=["empty", "garbage", "gzip", "an object", "a learner", "UBJSON", "arrays", "objects"],
)
def test_what_is_no_model_is_refused_with_a_reason(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "model"
    path.write_bytes(data)
    assert reason in _refusal(path)


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_a_truncated_model_is_refused(service: Any, tmp_path: Path, form: str) -> None:
    whole = (service.folder / f"v2.{form}").read_bytes()
    for share in (0.1, 0.5, 0.9):
        path = tmp_path / "cut"
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "not a whole XGBoost model" in _refusal(path)


@pytest.mark.parametrize("version", [[3, 2, 1], [3, 4, 0], [10, 0, 0]])
def test_a_model_newer_than_the_runtime_is_refused(
    service: Any, tmp_path: Path, version: list[int]
) -> None:
    path = _json_model(service, tmp_path, lambda d: d.update(version=version))
    text = _refusal(path)
    assert "runtime older than the model" in text
    assert ".".join(map(str, version)) in text


def test_a_newer_ubjson_model_is_refused_too(service: Any, tmp_path: Path) -> None:
    data = (service.folder / "v2.ubj").read_bytes()
    assert data.endswith(b"i\x03i\x02i\x00}")
    path = tmp_path / "newer.ubj"
    path.write_bytes(data.replace(b"i\x03i\x02i\x00}", b"i\x03i\x04i\x00}"))
    assert "runtime older than the model" in _refusal(path)


def test_an_answer_that_does_not_come_is_not_waited_for(service: Any) -> None:
    with ModelWorker(service.folder / "v2.ubj") as worker:
        worker.describe()
        worker._timeout_s = 0.5  # its start may take longer than that
        process = worker._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(ReplayError, match=r"no answer within 0\.5 s"):
            worker.predict(array("f", [0.0] * len(FEATURES)), 1)
    assert process.returncode is not None


@pytest.mark.parametrize("target", [0, 1_900_000_000])
def test_a_model_that_crashes_its_library_is_a_reason_and_no_crash(
    service: Any, tmp_path: Path, target: int
) -> None:
    def wild(document: Any) -> None:
        for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
            for at in (1, 2):
                tree["left_children"][at] = tree["right_children"][at] = target

    text = _refusal(_json_model(service, tmp_path, wild))
    assert "killed by SIG" in text or "refused it" in text


def test_a_killed_child_is_said_to_be_killed(service: Any) -> None:
    with ModelWorker(service.folder / "v2.ubj") as worker:
        worker.describe()
        assert worker._process is not None
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(ReplayError, match="killed by SIGKILL"):
            worker.predict(array("f", [0.0] * len(FEATURES)), 1)


def test_a_model_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(b'{"learner":[' + b"0.1," * 4_000_000 + b'0],"version":[3,0,0]}')
    assert "needs more than the 64 MiB" in _refusal(path, memory_bytes=64 << 20)


def test_processor_time_is_limited(service: Any) -> None:
    count = 60_000
    with (
        ModelWorker(service.folder / "v2.ubj", cpu_s=1) as worker,
        pytest.raises(ReplayError, match="1 processor seconds"),
    ):
        worker.predict(array("f", ROWS[0].tobytes()), count, columns={}, kinds=("contributions",))


def test_a_closed_worker_is_reaped(service: Any) -> None:
    worker = ModelWorker(service.folder / "v2.ubj")
    process = worker._process
    assert process is not None
    worker.close()
    assert process.returncode is not None
    with pytest.raises(ReplayError, match="closed"):
        worker.describe()


def test_rows_of_the_wrong_width_are_a_programming_error(service: Any) -> None:
    with ModelWorker(service.folder / "v2.ubj") as worker:
        with pytest.raises(ValueError, match="float32 values"):
            worker.predict(array("f", [1.0]), 1)
        with pytest.raises(ValueError, match="every column"):
            worker.predict(array("f", [0.0] * 7), 2, columns={0: array("f", [1.0])})


@pytest.mark.parametrize(
    ("runtime", "extra"),
    [
        ("xgboost", "models"), ("lightgbm", "models"), ("catboost", "catboost"), ("onnx", "onnx"),
        ("sklearn", "sklearn"), ("zen", "zen"), ("cel", "cel"),
    ],
)  # fmt: skip
def test_a_missing_library_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, runtime: str, extra: str
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(DependencyError) as caught:
        find_library(runtime)
    assert str(caught.value).endswith(f"pip install 'decision-forensics[{extra}]'")


def test_a_missing_file_is_a_reason(tmp_path: Path) -> None:
    assert "cannot be read" in _refusal(tmp_path / "absent.json")
