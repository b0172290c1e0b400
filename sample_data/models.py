"""Training and running the three versions of ``pd``.

The label is the real one: did the client default the month after. A default weighs by a power of
the drawn share of the line, since what a default costs is what was drawn; the score is thus a
cost-weighted probability of default, and rises with ``utilisation_3m`` (held monotone).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from . import plan
from .ids import sha256
from .views import FEATURES

RUNTIME_VERSION = xgboost.__version__


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one version is trained: on what, and with what settings."""

    version: str
    file: str
    trained_on: int
    share: float
    rounds: int
    depth: int
    reason: str


RECIPES = (
    Recipe("v1", "pd-v1.json", plan.at("2026-09-13 22:00:00"), 0.5, 90, 4, "first release"),
    Recipe("v2", "pd-v2.json", plan.at("2026-10-11 22:00:00"), 0.7, 110, 4, "scheduled retrain"),
    Recipe("v3", "pd-v3.ubj", plan.at("2026-10-19 22:00:00"), 0.9, 140, 3, "shallower, more trees"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """A trained version as loaded from its file, which is what scored the decisions."""

    recipe: Recipe
    digest: str
    booster: xgboost.Booster

    def score(self, features: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores of a batch, exactly as the library gives them."""
        return np.asarray(self.booster.predict(_matrix(features)), dtype=np.float32)

    def contributions(self, features: NDArray[np.float64]) -> NDArray[np.float32]:
        """Log-odds contributions of each feature, the base value in the last column."""
        found = self.booster.predict(_matrix(features), pred_contribs=True)
        return np.asarray(found, dtype=np.float32)


def _matrix(features: NDArray[np.float64]) -> xgboost.DMatrix:
    return xgboost.DMatrix(features.astype(np.float32), feature_names=FEATURES, nthread=2)


def training_set(seed: int, recipe: Recipe, clients: int) -> NDArray[np.int64]:
    """The clients that a version learns from."""
    rng = np.random.default_rng([seed, 3, int(recipe.version[1:])])
    return np.sort(rng.choice(clients, int(clients * recipe.share), replace=False))


def train(
    recipe: Recipe,
    features: NDArray[np.float64],
    defaulted: NDArray[np.bool_],
    folder: Path,
    seed: int,
) -> Model:
    """Train on the given rows, write the model file, and load what was written."""
    drawn = np.clip(features[:, FEATURES.index("utilisation_3m")], 0.02, 2.0)
    weight = np.where(defaulted, 4.9 * drawn**2.5, 1.0)
    data = xgboost.DMatrix(
        features.astype(np.float32),
        label=defaulted.astype(np.float32),
        weight=weight.astype(np.float32),
        feature_names=FEATURES,
        nthread=1,
    )
    settings = {
        "objective": "binary:logistic",
        "max_depth": recipe.depth,
        "eta": 0.1,
        "min_child_weight": 8,
        "monotone_constraints": {"utilisation_3m": 1},
        "tree_method": "hist",
        "nthread": 1,
        "seed": seed,
    }
    booster = xgboost.train(settings, data, recipe.rounds)
    path = folder / recipe.file
    booster.save_model(path)
    loaded = xgboost.Booster({"nthread": 2})
    loaded.load_model(path)
    return Model(recipe, sha256(path.read_bytes()), loaded)
