"""A model artifact, loaded in its process, with one decision's features in its order."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError, ReplayError
from forensics.lake.frames import Frame
from forensics.records.decision import Decision
from forensics.replay.client import ModelDescription, ModelWorker, Workers
from forensics.replay.ensemble import Ensemble
from forensics.replay.evidence import Artifacts, closeness
from forensics.replay.logic import ModelUse

#: A model asked by its own output, with features by their own names.
PLAIN_USE = ModelUse("score", None, None, "value", {})


class LoadedModel:
    """A model artifact with the decision's features in its order, or the reasons for none.

    Args:
        decision: whose features it is fed.
        digest: of the model file.
        artifacts: where it is kept.
        workers: model processes; one is started now, and waited for when it is asked.
        use: which of its outputs counts, and which features the decision logic computes for it.
        field: the record's field that names the digest, to be named where it is empty.
        packages: a folder with the library to run it, instead of the one installed here.
        unrunnable: why there is no library to run it with.
    """

    def __init__(
        self,
        decision: Decision,
        digest: str | None,
        artifacts: Artifacts,
        workers: Workers,
        *,
        use: ModelUse = PLAIN_USE,
        field: str = "model.digest",
        packages: Path | None = None,
        unrunnable: str | None = None,
    ) -> None:
        self._decision = decision
        self.digest = digest
        self.use = use
        self.missing: list[str] = []
        self.description: ModelDescription | None = None
        #: Boosting rounds used; 0 is all of them.
        self.trees = 0
        #: The model's features in its order, once it is ready.
        self.names: tuple[str, ...] = ()
        self._row: array[float] = array("d")
        self._texts: dict[int, str] = {}
        self._output = 0
        self._worker: ModelWorker | None = None
        self._ready = False
        self._score: float | None = None
        self._scored = False
        if not digest:
            self.missing.append(field)
            return
        if unrunnable is not None:
            self.missing.append(f"artifact {digest} (model file): {unrunnable}")
            return
        try:
            path = artifacts.path(digest)
            if path is None:
                self.missing.append(f"artifact {digest} (model file)")
            else:
                self._worker = workers.borrow(Path(path), packages)
        except (ForensicsError, OSError) as error:
            self.missing.append(f"artifact {digest} (model file): {error}")

    def ready(self) -> bool:
        """Whether the model is loaded and every feature of it was recorded; waits for the child."""
        if self._worker is not None and not self._ready and not self.missing:
            try:
                self.description = self._worker.describe()
                self._output = output_position(self.use, self.description)
                self._fill(self.description)
                self._ready = not self.missing
            except ReplayError as error:
                self.missing.append(f"artifact {self.digest} (model file): {error}")
        return self._ready

    def predict(
        self,
        kinds: Sequence[str],
        columns: Mapping[int, Sequence[Any]] | None = None,
        count: int = 1,
    ) -> tuple[array[float], ...]:
        """All the model's answers on the recorded row, or on variants of it.

        Args:
            kinds: see :class:`forensics.replay.client.ModelWorker`.
            columns: by position of a feature, ``count`` values in place of the recorded one.
            count: number of variants.

        Raises:
            ReplayError: when it cannot be run; ``missing`` keeps the reason.
        """
        if not self.ready() or self._worker is None or self.description is None:
            raise ReplayError("The model cannot be run.", "; ".join(self.missing))
        texts = {at: [text] for at, text in self._texts.items()}
        patches: dict[int, array[float]] = {}
        for at, values in (columns or {}).items():
            if at in self.description.texts:
                patches[at] = _coded(values, texts.setdefault(at, []), self.description.dtype)
            else:
                patches[at] = as_column(values, self.description.dtype)
        try:
            return self._worker.predict(
                self._row, count, columns=patches, kinds=kinds, trees=self.trees, texts=texts
            )
        except ReplayError as error:
            self._ready = False
            self.missing.append(f"artifact {self.digest} (model file): {error}")
            raise

    def values(
        self,
        columns: Mapping[int, Sequence[Any]] | None = None,
        count: int = 1,
        kind: str | None = None,
    ) -> array[float]:
        """The one output that counts, by variant; as :meth:`predict`."""
        (found,) = self.predict((kind or self.use.kind,), columns, count)
        outputs = self.description.outputs if self.description else 1
        return found[self._output :: outputs] if outputs > 1 else found

    def ensemble(self) -> Ensemble:
        """The model as trees and coefficients, of the rounds that are used.

        Raises:
            ReplayError: when it is neither, or cannot be run.
        """
        _ = self.score  # settles how many rounds are used
        if not self.ready() or self._worker is None:
            raise ReplayError("The model cannot be run.", "; ".join(self.missing))
        return self._worker.ensemble(self.trees)

    @property
    def output(self) -> int:
        """Position of the output that counts."""
        return self._output

    def codes(self) -> dict[str, dict[str, float]]:
        """By feature that takes text, the numbers that an :class:`Ensemble` has for its texts."""
        categories = self.description.categories if self.description else {}
        return {
            self.names[at]: {text: float(code) for code, text in enumerate(texts)}
            for at, texts in categories.items()
        }

    def row(self) -> list[float]:
        """The recorded features as an :class:`Ensemble` compares them.

        A text that the model does not know has the code after all those that it knows.
        """
        codes, row = self.codes(), self._row.tolist()
        for at, text in self._texts.items():
            known = codes.get(self.names[at], {})
            row[at] = known.get(text, float(len(known)))
        return row

    def compute(self, frame: Frame) -> None:
        """Put the features that the decision logic computed in ``frame`` into the recorded row."""
        for at, name in enumerate(self.names):
            if name in self.use.features and self.description is not None:
                (value,) = frame.column(self.use.column(name))
                self._set(at, value, self.description)
        self._scored = False

    def on(self, frame: Frame) -> array[float]:
        """The output that counts, for each row of a frame."""
        self.ready()
        columns: dict[int, Sequence[Any]] = {}
        for at, name in enumerate(self.names):
            if name in self.use.features:
                columns[at] = frame.column(self.use.column(name))
            elif isinstance(value := frame.feature(name), (list, array)):
                columns[at] = value
        return self.values(columns, frame.count)

    @property
    def score(self) -> float | None:
        """The model's answer to the recorded features as a double, None if it has none.

        Services that stop early use the best iteration, others all; where that gives the recorded
        bytes and all rounds do not, the model is run so from then on.
        """
        if not self._scored:
            try:
                self._score = self._settled()
            except ReplayError:
                self._score = None
            self._scored = True
        return self._score

    @property
    def runtime(self) -> str | None:
        """Library and version that ran the model, e.g. ``xgboost 3.2.0``."""
        description = self.description
        if description is None:
            return None
        if self.trees:
            return f"{description.runtime}, first {self.trees} of {description.rounds} rounds"
        return description.runtime

    @property
    def inputs(self) -> dict[str, float | str]:
        """The decision's features by name as the model sees them: text, or numbers with NaN."""
        return {n: self._texts.get(at, self._row[at]) for at, n in enumerate(self.names)}

    def contributions(self) -> tuple[float, dict[str, float], float]:
        """Base value, contribution of each feature, and margin, of the output that counts."""
        _ = self.score  # settles how many rounds are used
        contributions, margin = self.predict(("contributions", "margin"))
        width = len(self.names) + 1
        found = contributions[self._output * width : (self._output + 1) * width]
        return found[-1], dict(zip(self.names, found, strict=False)), margin[self._output]

    def _settled(self) -> float:
        score = self.values()[0]
        early_rounds = self._early_rounds()
        if early_rounds and closeness(self._decision, score) != "exact":
            self.trees = early_rounds
            early = self.values()[0]
            if closeness(self._decision, early) == "exact":
                return early
            self.trees = 0
        return score

    def _early_rounds(self) -> int:
        """Rounds up to the best iteration where training went on beyond it, else 0."""
        description = self.description
        if description is None or description.best_iteration is None:
            return 0
        rounds = description.best_iteration + 1
        return rounds if rounds < description.rounds else 0

    def _fill(self, description: ModelDescription) -> None:
        features = self._decision.features
        names = description.features or tuple(f"f{at}" for at in range(description.width))
        computed = self.use.features
        absent = [name for name in names if name not in features and name not in computed]
        if absent and not description.features:
            self.missing.append(f"feature names (artifact {self.digest} names none)")
            return
        self.missing.extend(f"features.{name}" for name in absent)
        self._row = array(description.dtype)
        for at, name in enumerate(names):
            self._row.append(float("nan"))
            try:
                self._set(at, None if name in computed else features.get(name), description)
            except ValueError as error:
                self.missing.append(f"features.{name} ({error})")
        self.names = names

    def _set(self, at: int, value: Any, description: ModelDescription) -> None:
        if at not in description.texts:
            self._row[at] = as_number(value)
        elif value is None:
            self._row[at] = float("nan")
        else:
            self._texts[at] = as_text(value)
            self._row[at] = 0.0


def output_position(use: ModelUse, description: ModelDescription) -> int:
    """Which of a model's outputs a step takes: as it says, else the only one, else of two the last.

    Raises:
        ReplayError: when there are several and the step names none, or one that there is not.
    """
    outputs, classes = description.outputs, description.classes
    known = ", ".join(classes) if classes else f"0 to {outputs - 1}"
    if use.output is None:
        if outputs > 2:
            raise ReplayError(
                f"it has {outputs} outputs ({known}) and the decision logic names none",
                todo='Say which in its model step: "output".',
            )
        return outputs - 1
    if isinstance(use.output, str) and use.output in classes and len(classes) == outputs:
        return classes.index(use.output)
    if isinstance(use.output, int) and 0 <= use.output < outputs:
        return use.output
    if outputs == 1 and len(classes) == 2 and use.output == classes[1]:
        return 0
    raise ReplayError(f"it has no output {use.output!r}; its outputs are {known}")


def as_column(values: Sequence[Any], dtype: str) -> array[float]:
    """Values as a model sees them, in an array of ``dtype``."""
    try:
        return array(dtype, values)
    except TypeError:  # None is NaN to the model and NULL to the rules
        return array(dtype, [as_number(value) for value in values])


def as_number(value: Any) -> float:
    """A recorded feature as a model sees it: NaN where nothing was recorded, 1 and 0 for booleans.

    Raises:
        ValueError: when it is not a number.
    """
    if value is None:
        return float("nan")
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a whole number too large for the model") from None
    kind = type(value).__name__
    if kind == "Decimal":
        return float(value)
    raise ValueError(f"{'text' if kind == 'str' else kind} where the model needs a number")


def as_text(value: Any) -> str:
    """A recorded feature as a model that takes categories sees it.

    Raises:
        ValueError: when it is a list or an object.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)  # as pandas writes it, whose categories these are
    if isinstance(value, (int, float)):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return str(int(value)) if whole else str(value)
    raise ValueError(f"{type(value).__name__} where the model needs a category")


def _coded(values: Sequence[Any], texts: list[str], dtype: str) -> array[float]:
    """Places of ``values`` in ``texts``, to which new ones are added."""
    places = {text: at for at, text in enumerate(texts)}
    codes: array[float] = array(dtype)
    for value in values:
        if value is None:
            codes.append(float("nan"))
            continue
        text = as_text(value)
        if text not in places:
            places[text] = len(texts)
            texts.append(text)
        codes.append(places[text])
    return codes
