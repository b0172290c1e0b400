"""ONNX models: one row in, one score out, the same alone as among many; all else said by name."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from forensics.errors import ReplayError
from forensics.replay.check import check_model
from forensics.replay.client import ModelWorker
from forensics.replay.runtimes.protobuf import read_model

FLOAT, INT64, STRING, BOOL, DOUBLE = 1, 7, 8, 9, 11
RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(200, 3)).astype("f4")

#: Public models that are not of one row of features, and why.
REFUSED = {
    "test_expand_shape_model1": "input X of shape [1, 3, 1] has 3 dimensions",
    "test_expand_shape_model2": "input X of shape [1, 3, 1] has 3 dimensions",
    "test_expand_shape_model3": "input X of shape [1, 3, 1] has 3 dimensions",
    "test_expand_shape_model4": "input X of shape [1, 3, 1] has 3 dimensions",
    "test_ai_onnx_ml_array_feature_extractor": "input x of shape [3, 4] is one of 2 and takes 4",
    "test_ai_onnx_ml_binarizer": "input X of shape [3, 4, 5] has 3 dimensions",
}


# Just enough of protocol buffers to write a model: onnx itself is not needed for these tests.


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, value: Any) -> bytes:
    if isinstance(value, (list, tuple)):
        return b"".join(field(number, each) for each in value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: Any) -> bytes:
    first = value[0] if isinstance(value, list) else value
    place, kind = {int: (3, 2), float: (2, 1), str: (4, 3), bytes: (5, 4)}[type(first)]
    if isinstance(value, list):
        place, kind = {3: (8, 7), 2: (7, 6), 4: (9, 8)}[place]
    return field(1, name) + field(place, value) + field(20, kind)


def node(kind: str, inputs: str, outputs: str, domain: str = "", **attributes: Any) -> bytes:
    found = [attribute(name, value) for name, value in attributes.items()]
    return (
        field(1, inputs.split()) + field(2, outputs.split()) + field(4, kind)
        + field(5, found) + field(7, domain)
    )  # fmt: skip


def tensor_type(kind: int, shape: Sequence[int | str | None]) -> bytes:
    dimensions = [
        field(1, size) if isinstance(size, int) else field(2, size) if size else b""
        for size in shape
    ]
    return field(1, field(1, kind) + field(2, b"".join(field(1, each) for each in dimensions)))


def value(name: str, kind: int, shape: Sequence[int | str | None]) -> bytes:
    return field(1, name) + field(2, tensor_type(kind, shape))


def maps(name: str) -> bytes:
    """A sequence of maps from whole numbers to floats, as ZipMap answers."""
    inner = field(5, field(1, INT64) + field(2, field(1, field(1, FLOAT))))
    return field(1, name) + field(2, field(4, field(1, inner)))


def constant(name: str, numbers: Any, **more: Any) -> bytes:
    numbers = np.asarray(numbers)
    kind = {"float32": FLOAT, "float64": DOUBLE, "int64": INT64}[str(numbers.dtype)]
    extra = more.get("external", b"")
    data = b"" if extra else field(9, numbers.tobytes())
    return field(1, list(numbers.shape)) + field(2, kind) + field(8, name) + data + extra


def model(
    nodes: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    constants: Iterable[bytes] = (),
    *,
    ir: int = 8,
    opset: int = 17,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    graph = (
        field(1, list(nodes)) + field(2, "test") + field(5, list(constants))
        + field(11, list(inputs)) + field(12, list(outputs))
    )  # fmt: skip
    pairs = [field(1, name) + field(2, text) for name, text in (metadata or {}).items()]
    opsets = [field(1, "") + field(2, opset), field(1, "ai.onnx.ml") + field(2, 3)]
    return field(1, ir) + field(2, "tests") + field(7, graph) + field(8, opsets) + field(14, pairs)


def linear(outputs: Sequence[bytes], nodes: Sequence[bytes] = (), **options: Any) -> bytes:
    """A logistic regression of three features, whose labels are 4 and 9."""
    classifier = node(
        "LinearClassifier", "x", "label scores", "ai.onnx.ml",
        coefficients=[-0.5, 0.25, 1.5, 0.5, -0.25, -1.5], intercepts=[0.1, -0.1],
        classlabels_ints=[4, 9], post_transform="LOGISTIC",
    )  # fmt: skip
    x = value("x", FLOAT, ["n", 3])
    return model([classifier, *nodes], [x], outputs, **options)


LABEL = value("label", INT64, ["n"])
SCORES = value("scores", FLOAT, ["n", 2])


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def ask(path: Path, rows: Any, texts: Any = None, threads: int = 1) -> Any:
    with ModelWorker(path, threads=threads) as worker:
        found = worker.describe()
        matrix = np.ascontiguousarray(rows, dtype=found.dtype)
        (answer,) = worker.predict(matrix, len(rows), texts=texts)
        return np.array(answer).reshape(len(rows), found.outputs)


def refusal(folder: Path, data: bytes, rows: Any = ROWS[:1], texts: Any = None) -> str:
    with pytest.raises(ReplayError) as caught:
        ask(write(folder, data), rows, texts)
    return str(caught.value)


def directly(data: bytes, output: str, feeds: Mapping[str, Any]) -> Any:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(
        [output], feeds
    )[0]


def test_public_models_are_reproduced_or_refused_with_the_true_reason(corpus: Path) -> None:
    files = sorted((corpus / "models" / "onnx_ml_node").rglob("model.onnx"))
    assert len(files) == 14
    for file in files:
        found = check_model(file, rows=file.parent / "test_data_set_0", tolerance=0)
        name = file.parent.name
        if name in REFUSED:
            assert found.reasons[0].startswith(REFUSED[name]), name
            continue
        assert found.reasons == (), name
        assert found.comparisons, name
        assert all(c.bit_equal == c.count == found.rows for c in found.comparisons), name


def test_beside_a_label_the_value_is_the_probability_of_the_second_class(tmp_path: Path) -> None:
    data = linear([LABEL, SCORES])
    path = write(tmp_path, data)
    with ModelWorker(path) as worker:
        found = worker.describe()
    assert found.classes == ("4", "9")
    assert (found.outputs, found.width, found.features) == (1, 3, ())
    assert (found.dtype, found.score_dtype, found.kinds) == ("f", "f", ("value",))
    assert found.runtime == f"onnxruntime {onnxruntime.__version__}"
    assert found.file_version == "IR 8, ai.onnx 17, ai.onnx.ml 3; written by tests"
    for row in ROWS[:50]:
        expected = directly(data, "scores", {"x": row[None]})[0, 1]
        assert ask(path, row[None])[0, 0] == expected


def test_maps_of_probabilities_answer_as_their_tensor_does(tmp_path: Path) -> None:
    zip_map = node("ZipMap", "scores", "maps", "ai.onnx.ml", classlabels_int64s=[4, 9])
    mapped = write(tmp_path, linear([LABEL, maps("maps")], [zip_map]))
    with ModelWorker(mapped) as worker:
        assert worker.describe().classes == ("4", "9")
    answers = ask(mapped, ROWS)
    assert answers.tobytes() == ask(write(tmp_path, linear([LABEL, SCORES])), ROWS).tobytes()


def test_a_tensor_alone_answers_all_that_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, linear([SCORES]))
    with ModelWorker(path) as worker:
        found = worker.describe()
    assert (found.outputs, found.classes) == (2, ("4", "9"))
    assert np.abs(ask(path, ROWS).sum(axis=1) - 1).max() < 1e-6


def test_a_row_has_the_same_bytes_alone_and_among_many_and_on_two_threads(tmp_path: Path) -> None:
    rows = RANDOM.normal(size=(2_500, 3)).astype("f4")
    path = write(tmp_path, linear([LABEL, SCORES]))
    many = ask(path, rows)
    assert many.tobytes() == ask(path, rows, threads=2).tobytes()
    with ModelWorker(path) as worker:
        alone = [worker.predict(np.ascontiguousarray(row), 1)[0][0] for row in rows[:200]]
    assert alone == many[:200, 0].tolist()


FRAME = model(
    [
        node("LabelEncoder", "job", "job_number", "ai.onnx.ml", keys_strings=["cook", "pilot"],
             values_floats=[1.5, -2.0], default_float=0.25),
        node("Cast", "late", "late_number", to=FLOAT),
        node("Cast", "member", "member_number", to=FLOAT),
        node("Cast", "debt", "debt_number", to=FLOAT),
        node("Sum", "age job_number late_number member_number debt_number", "score"),
    ],
    [
        value("age", FLOAT, ["n", 1]), value("job", STRING, ["n", 1]),
        value("late", INT64, ["n", 1]), value("member", BOOL, [None, 1]),
        value("debt", DOUBLE, ["n", 1]),
    ],
    [value("score", FLOAT, ["n", 1])],
)  # fmt: skip


def test_inputs_of_a_data_frame_are_features_by_their_names(tmp_path: Path) -> None:
    path = write(tmp_path, FRAME)
    with ModelWorker(path) as worker:
        found = worker.describe()
    assert found.features == ("age", "job", "late", "member", "debt")
    assert (found.texts, found.dtype) == ((1,), "d")
    rows = [[1, 0, 3, 1, 0.5], [2, 1, -4, 0, 0.25], [0.5, 2, 2**40, 1, 0]]
    answers = ask(path, rows, {1: ["cook", "pilot", "astronaut"]})
    expected = [[1 + 1.5 + 3 + 1 + 0.5], [2 - 2 - 4 + 0.25], [np.float32(0.5 + 0.25 + 2**40 + 1)]]
    assert answers.tolist() == expected


@pytest.mark.parametrize(
    ("at", "number", "reason"),
    [
        (1, float("nan"), "feature job is missing; the model takes text that cannot be"),
        (2, float("nan"), "feature late is missing; the model takes a whole number"),
        (2, 0.5, "feature late has a value that int64 cannot hold"),
        (3, 0.5, "feature member has a value that bool cannot hold"),
        (3, float("nan"), "feature member is missing; the model takes a boolean"),
    ],
)
def test_what_an_input_cannot_hold_is_refused_by_the_features_name(
    tmp_path: Path, at: int, number: float, reason: str
) -> None:
    row = [1.0, 0, 3, 1, 0.5]
    row[at] = number
    assert refusal(tmp_path, FRAME, [row], {1: ["cook"]}).startswith(reason)


def test_a_number_is_no_text(tmp_path: Path) -> None:
    said = refusal(tmp_path, FRAME, [[1.0, 7, 3, 1, 0.5]])
    assert said == "feature job is a number; the model takes text"


def test_features_are_named_by_metadata(tmp_path: Path) -> None:
    for text in ('["a", "b", "c"]', "a, b,c"):
        path = write(tmp_path, linear([LABEL, SCORES], metadata={"feature_names": text}))
        with ModelWorker(path) as worker:
            assert worker.describe().features == ("a", "b", "c")
    said = refusal(tmp_path, linear([LABEL, SCORES], metadata={"feature_names": "a,b"}))
    assert "names other features than it takes" in said


def tensors(nodes: Sequence[bytes], inputs: Sequence[bytes], *outputs: bytes, **more: Any) -> bytes:
    return model(nodes, inputs, outputs, **more)


X = value("x", FLOAT, ["n", 3])
RELU = node("Relu", "x", "y")
Y = value("y", FLOAT, ["n", 3])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tensors([RELU], [value("x", FLOAT, ["n", 2, 3])], value("y", FLOAT, ["n", 2, 3])),
         "input x of shape [n, 2, 3] has 3 dimensions"),
        (tensors([RELU], [value("x", FLOAT, ["n", "m"])], value("y", FLOAT, ["n", "m"])),
         "input x of shape [n, m] does not say how many features"),
        (tensors([RELU], [value("x", 10, ["n", 3])], value("y", 10, ["n", 3])),
         "input x of shape [n, 3] is of type tensor(float16)"),
        (tensors([node("Add", "x z", "y")], [X, value("z", FLOAT, ["n", 3])], Y),
         "input x of shape [n, 3] is one of 2 and takes 3 features"),
        (tensors([RELU, node("Neg", "x", "z")], [X], Y, value("z", FLOAT, ["n", 3])),
         "its outputs cannot be told apart: y of type tensor(float) [n, 3], z of"),
        (tensors([node("Cast", "x", "y", to=STRING)], [X], value("y", STRING, ["n", 3])),
         "output y is of type tensor(string); a score is a number"),
        (tensors([node("Transpose", "x", "y")], [value("x", FLOAT, [2, 3])],
                 value("y", FLOAT, [3, 2])),
         "output y has shape [3, 2], not one row for each of 2 rows"),
        (tensors([RELU], [X], Y, ir=99), "runtime older than the model"),
        (tensors([RELU], [X], Y, opset=999), "runtime older than the model"),
        (tensors([node("Own", "x", "y", "my.shop")], [X], Y), "refused it: "),
        (tensors([node("Add", "x w", "y")], [X], Y, constants=[
            constant("w", np.ones(3, "f4"),
                     external=field(13, field(1, "location") + field(2, "w.bin")) + field(14, 1))]),
         "the data of w lie in another file"),
    ],
)  # fmt: skip
def test_what_is_no_row_of_features_is_refused_with_the_true_reason(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    assert reason in refusal(tmp_path, data)


def test_data_in_another_file_is_found_within_a_branch(tmp_path: Path) -> None:
    outside = constant(
        "w",
        np.ones(3, "f4"),
        external=field(13, field(1, "location") + field(2, "w")) + field(14, 1),
    )
    inner = field(1, node("Add", "x w", "z")) + field(5, outside)
    branch = field(1, "then_branch") + field(6, inner) + field(20, 5)
    data = tensors([node("If", "x", "y") + field(5, branch)], [X], Y)
    assert read_model(data).external == ("w",)


def test_rows_that_a_model_takes_some_at_once_are_answered_one_by_one(tmp_path: Path) -> None:
    data = tensors([RELU], [value("x", FLOAT, [4, 3])], value("y", FLOAT, [4, 3]))
    path = write(tmp_path, data)
    for count in (1, 4, 6):
        expected = np.maximum(ROWS[:count], 0)
        assert ask(path, ROWS[:count]).tobytes() == expected.tobytes()


def test_a_model_whose_rows_depend_on_each_other_is_refused(tmp_path: Path) -> None:
    centred = [node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Sub", "x m", "y")]
    data = tensors(centred, [value("x", FLOAT, [4, 3])], value("y", FLOAT, [4, 3]))
    assert "depends on the others" in refusal(tmp_path, data, ROWS[:1])


def test_an_answer_that_is_not_one_for_each_row_is_refused(tmp_path: Path) -> None:
    total = node("ReduceSum", "x", "y", keepdims=1)
    data = tensors([total], [X], value("y", FLOAT, ["k", "m"]))
    assert "has shape [1, 1], not one row for each" in refusal(tmp_path, data)
    column = node("Reshape", "x shape", "y")
    shape = constant("shape", np.array([-1, 1]))
    data = tensors([column], [X], value("y", FLOAT, ["k", 1]), constants=[shape])
    assert "has shape [6, 1] for 2 rows" in refusal(tmp_path, data, ROWS[:2])


def test_whole_numbers_are_answered_as_such_unless_no_double_holds_them(tmp_path: Path) -> None:
    one = [value("x", INT64, ["n", 1])]
    path = write(tmp_path, tensors([node("Abs", "x", "y")], one, value("y", INT64, ["n", 1])))
    assert ask(path, [[-7.0], [2.0**53]]).ravel().tolist() == [7.0, 2.0**53]
    shifted = node("Mul", "x x", "y")
    data = tensors([shifted], one, value("y", INT64, ["n", 1]))
    assert "above 2**53" in refusal(tmp_path, data, [[2.0**30]])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    data = linear([LABEL, SCORES])
    assert refusal(tmp_path, data[: int(len(data) * share)])


def test_a_number_of_trees_is_refused(tmp_path: Path) -> None:
    with (
        ModelWorker(write(tmp_path, linear([LABEL, SCORES]))) as worker,
        pytest.raises(ReplayError, match="some of its trees"),
    ):
        worker.predict(np.zeros((1, 3), "f4"), 1, trees=5)
