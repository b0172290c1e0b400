"""Where on the model's own scale a decision meets its threshold, through what comes in between.

A calibration, or any other step, may make the score of the model's output. Contributions are to the
margin, so the threshold is sought there: the decision logic is run with other outputs in the
model's place, and the nearest one is taken at which the score passes the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, isfinite

from forensics.errors import ReplayError
from forensics.lake.frames import Frame, RowFrame
from forensics.replay.client import ModelDescription
from forensics.replay.loaded import LoadedModel
from forensics.replay.logic import ModelUse
from forensics.replay.session import ReplaySession

#: Log-odds beyond these are probabilities that no float32 tells from 0 and 1.
_LOGIT_MAX = 30.0
#: Of a margin that can be anything, so many times its own size are looked at on either side.
_SPAN = 16.0
_POINTS = 65
_ROUNDS = 6


def threshold_margin(
    session: ReplaySession, model: LoadedModel, description: ModelDescription, threshold: float
) -> float | None:
    """The margin nearest to the decision's at which its score passes ``threshold``.

    None where the score never does, or cannot be made of the margin of this one output alone.

    Args:
        session: the decision, whose logic makes the score.
        model: the model that is explained.
        description: of the model.
        threshold: of the score.
    """
    logic = session.logic
    if logic is None or logic.engines or description.link not in ("logit", "identity"):
        return None
    score, step = logic.logic.score, model.use.step

    def predict(use: ModelUse, frame: Frame) -> Sequence[float]:
        return session.models[use.step].on(frame)

    def passes(margins: Sequence[float]) -> list[bool | None]:
        """For each margin whether the score is at the threshold or above; None without a score."""
        plain = model.use.kind == "margin" or description.link == "identity"
        outputs = list(margins) if plain else [1 / (1 + exp(-margin)) for margin in margins]
        frame = RowFrame(session.connection, session.features, session.values, len(outputs))
        answer = logic.run(frame, predict, given={step: outputs})
        if score is None:
            return [None] * len(outputs)
        found = answer.value(score)
        return [None if each is None or each != each else each >= threshold for each in found]

    try:
        own = model.values(kind="margin")[0]
        if not isfinite(own):
            return None
        low, high = -_LOGIT_MAX, _LOGIT_MAX
        if description.link == "identity":
            span = _SPAN * max(1.0, abs(own), abs(threshold))
            low, high = own - span, own + span
        for _ in range(_ROUNDS):
            grid = [low + (high - low) * at / (_POINTS - 1) for at in range(_POINTS)]
            sides = passes(grid)
            crossings = [
                pair
                for pair, (a, b) in zip(pairwise(grid), pairwise(sides), strict=True)
                if a is not None and b is not None and a != b
            ]
            if not crossings:
                return None
            low, high = min(crossings, key=lambda pair: abs(sum(pair) / 2 - own))
    except ReplayError:
        return None
    return (low + high) / 2
