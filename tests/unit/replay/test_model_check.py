"""Before a deploy: can decisions of this model be replayed here, and does it answer as expected?"""

from __future__ import annotations

import csv
import math
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest
import xgboost as xgb

from forensics.errors import UsageError
from forensics.lake.artifacts import digest_of
from forensics.replay.check import check_model
from forensics.replay.tensors import read_folder

RANDOM = np.random.default_rng(3)
ROWS = RANDOM.normal(size=(120, 3)).astype("f4")
NAMES = ["income", "debt", "age"]
TWO = (ROWS[:, 0] > 0).astype(int)
THREE = np.digitize(ROWS[:, 0], [-0.5, 0.5])
ROWS[::10, 1] = np.nan

#: Rows that fit each public LightGBM model, where their name differs from what the model's ends in.
LIGHTGBM_ROWS = {"AuditBin": "Audit", "AuditBinNA": "AuditNA"}


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def cells(rows: Any, missing: str = "N/A") -> list[list[str]]:
    return [[missing if x != x else repr(float(x)) for x in row] for row in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two classes and one of three, rows for both, and what they answer."""
    place = tmp_path_factory.mktemp("check")
    matrix = xgb.DMatrix(ROWS, TWO, feature_names=NAMES)
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3}, matrix, 8)
    booster.save_model(place / "two.ubj")
    scores = booster.predict(matrix)
    write_csv(place / "rows.csv", NAMES, cells(ROWS))
    write_csv(place / "scores.csv", ["score"], [[repr(float(score))] for score in scores])
    options = {"loss_function": "MultiClass", "iterations": 5, "verbose": 0}
    model = catboost.CatBoostClassifier(**options, allow_writing_files=False)
    labels = np.array(["high", "low", "mid"])[THREE]
    model.fit(catboost.Pool(ROWS, labels, feature_names=NAMES))
    model.save_model(str(place / "three.cbm"))
    answers = model.predict_proba(ROWS)
    header = ["_target", *(f"probability({label})" for label in model.classes_)]
    picked = model.classes_[answers.argmax(axis=1)]
    rows = [
        [label, *map(repr, map(float, row))] for label, row in zip(picked, answers, strict=True)
    ]
    write_csv(place / "three.csv", header, rows)
    return place


def test_answers_that_are_all_equal_are_said_to_be(folder: Path) -> None:
    model = folder / "two.ubj"
    found = check_model(model, rows=folder / "rows.csv", expect=folder / "scores.csv")
    assert found.replayable
    assert (found.rows, found.tolerance) == (120, 1e-6)
    (compared,) = found.comparisons
    assert (compared.column, compared.bit_equal, compared.count) == ("score", 120, 120)
    assert (compared.largest_absolute, compared.largest_ulps) == (0.0, 0)
    assert compared.worst_row is None
    assert found.digest == digest_of(model.read_bytes())


def changed(folder: Path, tmp_path: Path, row: int, change: Any, column: str = "score") -> Path:
    with (folder / "scores.csv").open() as file:
        values = [line[column] for line in csv.DictReader(file)]
    values[row] = change(values[row])
    return write_csv(tmp_path / "changed.csv", [column], [[value] for value in values])


def test_the_largest_difference_is_told_with_its_row_and_in_units_of_the_last_place(
    folder: Path, tmp_path: Path
) -> None:
    model, rows = folder / "two.ubj", folder / "rows.csv"

    def ulps(text: str, count: int) -> str:
        (bits,) = struct.unpack("<i", struct.pack("<f", float(text)))
        return repr(struct.unpack("<f", struct.pack("<i", bits + count))[0])

    near = changed(folder, tmp_path, 17, lambda text: ulps(text, 3))
    (compared,) = check_model(model, rows=rows, expect=near).comparisons
    assert (compared.bit_equal, compared.largest_ulps, compared.worst_row) == (119, 3, 18)
    assert compared.within
    assert compared.largest_absolute is not None
    assert 0 < compared.largest_absolute < 1e-6
    assert compared.largest_relative == compared.largest_absolute / float(compared.expected or 0)

    found = check_model(model, rows=rows, expect=near, tolerance=0)
    assert not found.replayable
    assert found.reasons == ("it does not answer what is expected: score",)

    far = changed(folder, tmp_path, 4, lambda text: repr(float(text) + 0.25))
    found = check_model(model, rows=rows, expect=far)
    assert not found.replayable
    assert found.comparisons[0].worst_row == 5
    assert found.comparisons[0].largest_absolute == pytest.approx(0.25)
    assert check_model(model, rows=rows, expect=far, tolerance=0.3).replayable


def test_a_value_that_is_no_number_differs_from_every_answer(folder: Path, tmp_path: Path) -> None:
    wrong = changed(folder, tmp_path, 2, lambda _: "NaN")
    found = check_model(folder / "two.ubj", rows=folder / "rows.csv", expect=wrong)
    assert not found.replayable
    assert found.comparisons[0].largest_absolute == math.inf
    assert found.comparisons[0].worst_row == 3


def test_a_rounded_expectation_is_met_within_the_tolerance_that_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    with (folder / "scores.csv").open() as file:
        rounded = [[f"{float(line['score']):.4f}"] for line in csv.DictReader(file)]
    expect = write_csv(tmp_path / "rounded.csv", ["prediction"], rounded)
    options = {"rows": folder / "rows.csv", "expect": expect}
    assert not check_model(folder / "two.ubj", **options).replayable
    assert check_model(folder / "two.ubj", **options, tolerance=1e-4).replayable


def test_probabilities_are_matched_by_label_and_labels_by_the_most_probable(folder: Path) -> None:
    found = check_model(
        folder / "three.cbm", rows=folder / "rows.csv", expect=folder / "three.csv", tolerance=0
    )
    assert found.replayable
    names = [compared.column for compared in found.comparisons]
    assert names == ["_target", "probability(high)", "probability(low)", "probability(mid)"]
    assert all(compared.bit_equal == 120 for compared in found.comparisons)
    assert any("which output it takes: high, low, mid" in note for note in found.notes)


def test_columns_in_another_order_are_still_matched_by_label(folder: Path, tmp_path: Path) -> None:
    with (folder / "three.csv").open() as file:
        lines = list(csv.DictReader(file))
    header = ["probability(mid)", "probability(high)", "customer"]
    expect = write_csv(
        tmp_path / "e.csv", header, [[line["probability(mid)"], line["probability(high)"], "x"]
                                     for line in lines]
    )  # fmt: skip
    found = check_model(folder / "three.cbm", rows=folder / "rows.csv", expect=expect, tolerance=0)
    assert [compared.column for compared in found.comparisons] == header[:2]
    assert found.notes[-1] == "not compared: customer"
    swapped = write_csv(
        tmp_path / "s.csv", ["probability(high)", "probability(mid)"],
        [[line["probability(mid)"], line["probability(high)"]] for line in lines],
    )  # fmt: skip
    assert not check_model(
        folder / "three.cbm", rows=folder / "rows.csv", expect=swapped
    ).replayable


def test_the_probability_of_the_first_of_two_classes_is_what_is_left(
    folder: Path, tmp_path: Path
) -> None:
    with (folder / "scores.csv").open() as file:
        scores = [np.float32(line["score"]) for line in csv.DictReader(file)]
    rows = [[int(p > 0.5), repr(float(1 - p)), repr(float(p))] for p in scores]
    expect = write_csv(tmp_path / "e.csv", ["_target", "probability(0)", "probability(1)"], rows)
    found = check_model(folder / "two.ubj", rows=folder / "rows.csv", expect=expect, tolerance=0)
    assert found.replayable
    assert [compared.bit_equal for compared in found.comparisons] == [120, 120, 120]
    rows[7][0] = 1 - rows[7][0]
    expect = write_csv(tmp_path / "e.csv", ["_target", "probability(0)", "probability(1)"], rows)
    found = check_model(folder / "two.ubj", rows=folder / "rows.csv", expect=expect)
    assert found.reasons == ("it does not answer what is expected: _target",)
    label = found.comparisons[0]
    assert (label.worst_row, label.largest_absolute, label.bit_equal) == (8, None, 119)


def test_features_that_the_rows_do_not_have_are_named(folder: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", ["age", "height"], [["1", "2"]])
    found = check_model(folder / "two.ubj", rows=rows)
    assert found.reasons == ("features not in the rows: income, debt",)


def test_columns_that_the_model_does_not_take_may_be_there_in_any_order(
    folder: Path, tmp_path: Path
) -> None:
    header = ["id", "age", "debt", "note", "income"]
    order = [[f"c{at}", row[2], row[1], "=1", row[0]] for at, row in enumerate(cells(ROWS))]
    rows = write_csv(tmp_path / "rows.csv", header, order)
    assert check_model(folder / "two.ubj", rows=rows, expect=folder / "scores.csv").replayable


def test_text_where_the_model_takes_a_number_is_told_with_its_row(
    folder: Path, tmp_path: Path
) -> None:
    lines = cells(ROWS)
    lines[41][2] = "forty"
    rows = write_csv(tmp_path / "rows.csv", NAMES, lines)
    found = check_model(folder / "two.ubj", rows=rows)
    assert found.reasons == ("feature age: 'forty' in row 42 is no number",)


@pytest.mark.parametrize("text", ["", "N/A", "NA", "NaN", "nan", "null", " "])
def test_texts_for_a_missing_value_are_missing(folder: Path, tmp_path: Path, text: str) -> None:
    rows = write_csv(tmp_path / "rows.csv", NAMES, cells(ROWS, text))
    found = check_model(folder / "two.ubj", rows=rows, expect=folder / "scores.csv", tolerance=0)
    assert found.replayable, found


def test_other_texts_for_a_missing_value_can_be_named(folder: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", NAMES, cells(ROWS, "unknown"))
    model, expect = folder / "two.ubj", folder / "scores.csv"
    found = check_model(model, rows=rows, expect=expect)
    assert found.reasons == ("feature debt: 'unknown' in row 1 is no number",)
    assert check_model(model, rows=rows, expect=expect, missing=["unknown"], tolerance=0).replayable


def test_semicolons_tabs_and_a_byte_order_mark_are_read(folder: Path, tmp_path: Path) -> None:
    for divider in ";\t":
        path = tmp_path / "rows.csv"
        lines = [divider.join(line) for line in [NAMES, *cells(ROWS)]]
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n\r\n")
        found = check_model(folder / "two.ubj", rows=path, expect=folder / "scores.csv")
        assert found.replayable, found


def test_a_model_without_names_takes_columns_in_their_order_and_says_so(
    folder: Path, tmp_path: Path
) -> None:
    matrix = xgb.DMatrix(ROWS, TWO)
    xgb.train({"objective": "binary:logistic"}, matrix, 3).save_model(tmp_path / "bare.ubj")
    found = check_model(tmp_path / "bare.ubj", rows=folder / "rows.csv")
    assert found.replayable
    assert found.notes == (
        "the file names no features: decisions record them as f0 to f2",
        "columns were taken as features in their order",
    )
    rows = write_csv(tmp_path / "rows.csv", ["f2", "f1", "f0"], [["1", "2", "3"]])
    assert check_model(tmp_path / "bare.ubj", rows=rows).notes == found.notes[:1]
    rows = write_csv(tmp_path / "rows.csv", ["a", "b"], [["1", "2"]])
    assert check_model(tmp_path / "bare.ubj", rows=rows).reasons == (
        "features not in the rows: f0, f1, f2",
    )


def test_a_number_of_trees_is_checked_as_such(folder: Path, tmp_path: Path) -> None:
    model = catboost.CatBoost()
    model.load_model(str(folder / "three.cbm"))
    first = model.predict(ROWS, prediction_type="Probability", ntree_end=2)
    header = [f"probability({label})" for label in ("high", "low", "mid")]
    expect = write_csv(tmp_path / "e.csv", header, [map(repr, map(float, row)) for row in first])
    options = {"rows": folder / "rows.csv", "expect": expect, "tolerance": 0.0}
    assert check_model(folder / "three.cbm", **options, trees=2).replayable
    assert not check_model(folder / "three.cbm", **options).replayable
    found = check_model(folder / "three.cbm", **options, trees=99)
    assert found.reasons == ("the model has 5 trees, not 99",)


def test_a_refused_model_is_a_reason_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04K\x01.")
    found = check_model(path)
    assert not found.replayable
    assert "Python pickle" in found.reasons[0]
    assert found.description is None


@pytest.mark.parametrize(
    ("rows", "expect", "said"),
    [
        ("a,b\n1,2,3\n", None, "Row 1 has 3 values, the header 2"),
        ("income,debt,age,age\n", None, "two columns called 'age'"),
        ("", None, "is empty"),
        ("\xff\xfe", None, "cannot be read"),
        ("income,debt,age\n1,2,3\n", "score\n1\n2\n", "Each row needs one expected answer"),
        ("income,debt,age\n1,2,3\n", "score\nhigh\n", "is not of numbers"),
        ("income,debt,age\n1,2,3\n", "weight,size\n1,2\n", "No column of the expected values"),
    ],
)
def test_files_that_do_not_fit_are_errors_of_use(
    folder: Path, tmp_path: Path, rows: str, expect: str | None, said: str
) -> None:
    given = tmp_path / "rows.csv"
    given.write_bytes(rows.encode("latin-1"))
    expected = tmp_path / "expected.csv"
    expected.write_text(expect or "")
    with pytest.raises(UsageError) as caught:
        check_model(folder / "two.ubj", rows=given, expect=expected if expect else None)
    assert said in str(caught.value)


def test_expectations_need_rows(folder: Path) -> None:
    with pytest.raises(UsageError, match="need rows"):
        check_model(folder / "two.ubj", expect=folder / "scores.csv")


def test_no_rows_at_all_are_run_too(folder: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", NAMES, [])
    found = check_model(folder / "two.ubj", rows=rows)
    assert (found.replayable, found.rows) == (True, 0)


def public_lightgbm(corpus: Path) -> list[tuple[Path, Path, Path, int]]:
    """Model, rows, expected answers and number of trees of each public case."""
    folder = corpus / "models" / "lightgbm_jpmml"
    found = []
    for expected in sorted((folder / "csv").glob("*.csv")):
        name, _, trees = expected.stem.partition("@")
        model = folder / "lgbm" / f"{name}.txt"
        if name == "ClassificationAuditInvalid":  # values that training never met
            model = folder / "lgbm" / "ClassificationAudit.txt"
        if model.is_file():
            end = name.rpartition("Classification")[2].rpartition("Regression")[2]
            rows = folder / "csv" / f"{LIGHTGBM_ROWS.get(end, end)}.csv"
            found.append((model, rows, expected, int(trees or 0)))
    return found


def test_public_lightgbm_models_answer_what_their_authors_expect(corpus: Path) -> None:
    cases = public_lightgbm(corpus)
    assert len(cases) == 32
    for model, rows, expected, trees in cases:
        found = check_model(model, rows=rows, expect=expected, trees=trees, tolerance=1e-14)
        if "AuditBin" in model.stem:  # its columns were made outside the model
            assert found.reasons[0].startswith("features not in the rows: Employment_Consultant, ")
            continue
        assert found.reasons == (), expected.stem
        assert all(c.bit_equal == c.count == found.rows for c in found.comparisons), expected.stem


def test_tensors_that_cannot_be_read_are_errors_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no input_0"):
        read_folder(tmp_path)
    for data, said in (
        (b"\x08\x03\x10\x01\x4a\x04\x00\x00\x80\x3f", "1 values for the shape"),
        (b"\x08\x01\x10\x10\x4a\x02\x00\x00", "tensors of type 16"),
        (b"\x4a\x7f\x00", "cut short"),
    ):
        (tmp_path / "input_0.pb").write_bytes(data)
        with pytest.raises(UsageError, match=said):
            read_folder(tmp_path)


def test_tensors_are_read_packed_and_raw(tmp_path: Path) -> None:
    raw = b"\x08\x02\x10\x01\x42\x01x\x4a\x08" + struct.pack("<2f", 1.5, -2.0)
    packed = b"\x0a\x01\x02\x10\x07\x3a\x0b\x05" + b"\xff" * 9 + b"\x01"
    texts = b"\x08\x02\x10\x08\x32\x01a\x32\x02bc"
    for at, data in enumerate((raw, packed, texts)):
        (tmp_path / f"input_{at}.pb").write_bytes(data)
    inputs, outputs = read_folder(tmp_path)
    assert [tensor.values for tensor in inputs] == [[1.5, -2.0], [5, -1], ["a", "bc"]]
    assert (inputs[0].name, inputs[0].shape, outputs) == ("x", (2,), [])
