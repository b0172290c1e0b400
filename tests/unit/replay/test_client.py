"""What a file is, who runs it, and what may be sent to it."""

from __future__ import annotations

import io
import json
import pickle
import signal
import sys
import zipfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost as xgb
from credit import FEATURES, applicants
from sklearn.linear_model import LogisticRegression

from forensics.errors import ReplayError
from forensics.replay.client import ModelWorker
from forensics.replay.formats import detect
from forensics.replay.libraries import find_library
from forensics.replay.runtimes.interface import ModelRefusedError

ROWS = applicants(3000, 12).astype("f4")


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "artifact"  # by digest: there is no suffix to go by
    path.write_bytes(data)
    return path


def _zip(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _saved(save: Callable[[io.BytesIO], Any]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_xgboosts_files_are_told_by_what_they_hold(service: Any, form: str) -> None:
    assert detect(service.folder / f"v2.{form}") == "xgboost"


@pytest.mark.parametrize(
    ("data", "runtime"),
    [
        (b'{"version": [3, 2, 0], "learner": {"x": {"type": "linear"}}}', "xgboost"),
        (b'{\n "learner": {}}', "xgboost"),
        (b"tree\nversion=v4\n", "lightgbm"),
        (b"tree\r\nversion=v4\r\n", "lightgbm"),
        (b"CBM1\0\0\0\0", "catboost"),
        (b'{"type": "linear", "version": 1}', "linear"),
        (b'{"version": 1,\n "features": [{"name": "x"}], "type" : "scorecard"}', "linear"),
    ],
)
def test_formats_are_told_apart(tmp_path: Path, data: bytes, runtime: str) -> None:
    assert detect(_file(tmp_path, data)) == runtime


@pytest.mark.parametrize(
    "data",
    [b'{"threshold": 0.5}', b'{"record": "change"}\n{"record": "change"}\n', b'{ "learners": 1}'],
)
def test_json_that_is_no_model_is_not_taken_for_xgboosts(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelRefusedError, match="is JSON, and no model"):
        detect(_file(tmp_path, data))


def test_every_foreign_model_is_told(corpus: Path) -> None:
    found = {}
    for path in sorted((corpus / "models").rglob("*")):
        if path.suffix in (".cbm", ".onnx") or path.parent.name == "lgbm":
            found[path] = detect(path)
    runtimes = {".cbm": "catboost", ".onnx": "onnx", ".txt": "lightgbm"}
    assert len(found) > 30
    assert all(runtime == runtimes[path.suffix] for path, runtime in found.items())


def test_an_onnx_model_that_is_cut_short_is_still_told(corpus: Path, tmp_path: Path) -> None:
    """So that its runtime can say what is wrong with it."""
    for path in (corpus / "models" / "onnx_ml_node").rglob("*.onnx"):
        whole = path.read_bytes()
        for size in range(30, len(whole), 9):
            assert detect(_file(tmp_path, whole[:size])) == "onnx"


def test_a_model_of_skops_is_told_from_other_archives(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    assert detect(_file(tmp_path, skops.dumps(fitted))) == "sklearn"


def _pickles() -> list[Any]:
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    values = (fitted, {"model": fitted}, [fitted], (fitted, 0.5), {"a": 1}, [1, 2], np.arange(3))
    return [
        pytest.param(pickle.dumps(value, protocol), id=f"{type(value).__name__}-{protocol}")
        for value in values
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]


@pytest.mark.parametrize("data", _pickles())
def test_pickles_of_every_protocol_are_refused_by_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelRefusedError, match="is a Python pickle") as caught:
        detect(_file(tmp_path, data))
    assert "skops" in caught.value.todo


@pytest.mark.parametrize(
    "method", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3), 0, True]
)
def test_what_joblib_writes_is_refused_with_the_way_out(tmp_path: Path, method: Any) -> None:
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    data = _saved(lambda buffer: joblib.dump(fitted, buffer, compress=method))
    with pytest.raises(ModelRefusedError, match=r"pickle|compressed") as caught:
        detect(_file(tmp_path, data))
    assert "skops" in caught.value.todo


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_saved(lambda b: np.save(b, np.arange(3))), "NumPy array"),
        (_saved(lambda b: np.savez(b, a=np.arange(3))), "NumPy arrays"),
        (_zip(**{"archive/data.pkl": b"", "archive/version": b"3"}), "PyTorch"),
        (_zip(**{"config.json": b"{}", "model.weights.h5": b""}), "Keras"),
        (_zip(**{"readme.txt": b""}), "zip archive, not a model format"),
        (_zip(**{"schema.json": b"{}"})[:-30], "zip archive that is cut short"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"binf\0\0", "old binary format"),
        (b'<?xml version="1.0"?><PMML/>', "XML"),
        (b'{"type": "rules", "rules": []}', "JSON of type 'rules'"),
        (b"", "is empty"),
        (b"garbage", "no model format known here"),
        (b"\x08\x07", "no model format known here"),
    ],
    # Archives bear the time they were made at, by which two processes would name the tests apart.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_nothing_here_can_run_is_refused_by_name(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(ReplayError, match=reason):
        ModelWorker(_file(tmp_path, data))


def test_a_buffer_of_any_kind_is_sent_as_it_is(service: Any) -> None:
    expected = service.booster.inplace_predict(ROWS).tobytes()
    locked = ROWS.copy()
    locked.setflags(write=False)
    with ModelWorker(service.folder / "v2.ubj") as worker:
        for rows in (ROWS, ROWS.ravel(), locked, array("f", ROWS.tobytes()), memoryview(ROWS)):
            assert worker.predict(rows, len(ROWS))[0].tobytes() == expected


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.astype("f8"),
        ROWS.T,
        ROWS[:, ::-1],
        ROWS[::2],
        np.nan_to_num(ROWS).astype("i4"),
        ROWS.astype(">f4"),
    ],
)
def test_a_buffer_of_another_type_or_order_is_a_programming_error(service: Any, rows: Any) -> None:
    with (
        ModelWorker(service.folder / "v2.ubj") as worker,
        pytest.raises(ValueError, match="float32 values in C order"),
    ):
        worker.predict(rows, len(ROWS))


def test_no_rows_have_no_answers(service: Any) -> None:
    with ModelWorker(service.folder / "v2.ubj") as worker:
        found = worker.predict(ROWS[:0], 0, kinds=("value", "contributions"))
        assert [list(answers) for answers in found] == [[], []]
        assert [list(answers) for answers in worker.predict(ROWS[0], 0, columns={})] == [[]]


def test_a_kind_of_answer_that_there_is_not_is_a_programming_error(service: Any) -> None:
    with (
        ModelWorker(service.folder / "v2.ubj") as worker,
        pytest.raises(ValueError, match="no kind of answer is called leaves"),
    ):
        worker.predict(ROWS, len(ROWS), kinds=("leaves",))


def test_an_interrupted_answer_is_never_taken_for_the_next(service: Any) -> None:
    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    many = np.tile(ROWS, (20, 1))
    with ModelWorker(service.folder / "v2.ubj") as worker:
        worker.describe()
        assert worker.usable
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                worker.predict(many, len(many), kinds=("contributions",))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert not worker.usable
        with pytest.raises(ReplayError, match="closed"):
            worker.predict(ROWS[0], 1)


def test_a_refused_question_leaves_the_worker_usable(service: Any) -> None:
    with ModelWorker(service.folder / "v2.ubj") as worker:
        with pytest.raises(ReplayError, match="boosting rounds"):
            worker.predict(ROWS, len(ROWS), trees=10_000)
        assert worker.usable
        assert len(worker.predict(ROWS, len(ROWS))[0]) == len(ROWS)


def _linked_packages(folder: Path) -> Path:
    """A folder with xgboost and nothing else, as an installer would make it."""
    place = Path(xgb.__file__).parent
    for installed in (place, *place.parent.glob("xgboost*.libs")):
        (folder / installed.name).symlink_to(installed)
    return folder


def test_a_folder_of_packages_is_searched_first(service: Any, tmp_path: Path) -> None:
    folder = _linked_packages(tmp_path)
    assert find_library("xgboost", folder).startswith(str(folder))
    with ModelWorker(service.folder / "v2.ubj", packages=folder) as worker:
        (value,) = worker.predict(ROWS, len(ROWS))
    assert value.tobytes() == service.booster.inplace_predict(ROWS).tobytes()


def test_a_package_that_is_there_is_used_with_what_lies_beside_it_alone(tmp_path: Path) -> None:
    (tmp_path / "catboost").mkdir()
    assert find_library("catboost", tmp_path) == str(tmp_path)


def test_what_the_folder_of_packages_lacks_is_the_interpreters_own(tmp_path: Path) -> None:
    assert find_library("xgboost", tmp_path) == find_library("xgboost")


def test_packages_are_found_where_the_interpreter_finds_them() -> None:
    for runtime, module in (
        ("onnx", "onnxruntime"),
        ("sklearn", "skops"),
        ("catboost", "catboost"),
    ):
        found = pytest.importorskip(module)
        folder = find_library(runtime).split(":")[0]
        assert folder in sys.path
        assert Path(found.__file__).is_relative_to(folder)


def test_the_linear_form_needs_no_library() -> None:
    assert find_library("linear") == ""


def test_an_ensemble_of_a_model_names_its_features_by_position(service: Any) -> None:
    with ModelWorker(service.folder / "v2.ubj") as worker:
        model = worker.ensemble()
        cuts = worker.describe().cuts
    document = json.loads(service.booster.save_raw("json"))
    trees = document["learner"]["gradient_booster"]["model"]["trees"]
    assert len(model.roots) == len(trees) == 60
    assert len(model.feature) == sum(len(tree["split_indices"]) for tree in trees)
    for at in range(len(FEATURES)):
        asked = {t for f, t in zip(model.feature, model.threshold, strict=True) if f == at}
        assert sorted(asked) == list(cuts[at])
