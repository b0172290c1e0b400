"""What decisions may have in common, as columns of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from forensics.lake.batches import Batch
from forensics.lake.grouping import is_constant
from forensics.lake.texts import Texts
from forensics.replay.bulk.identity import Identities
from forensics.replay.bulk.plan import Plan
from forensics.replay.bulk.tally import Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

#: By the column that tells it.
ATTRIBUTES = {
    "environment": "environment",
    "region": "region",
    "replica": "replica",
    "tenant": "tenant",
    "code version": "execution.code_version",
}
_HOUR_US = 3_600_000_000


def recorded(batch: Batch) -> dict[str, Texts]:
    """Attributes that have a column of their own. Loads them."""
    batch.load(ATTRIBUTES.values(), seldom=True)
    found = {}
    for name, path in ATTRIBUTES.items():
        column = batch.texts(path)
        if column is not None:
            found[name] = column
    return found


def hours(batch: Batch) -> Longs:
    """Hours since 1970 when each decision was made. Loads the times."""
    batch.load(("occurred_at",), seldom=True)
    found: Longs = batch.micros("occurred_at") // _HOUR_US
    return found


def of_plans(identity: Identities, plans: Sequence[Plan]) -> Iterator[tuple[str, Texts]]:
    """Attributes that all rows of a plan share: models and configurations, by their digests."""
    for name, value in _OF_PLANS.items():
        values = [value(plan) for plan in plans]
        texts = list(dict.fromkeys(text for text in values if text is not None))
        if texts:
            codes = np.array([-1 if v is None else texts.index(v) for v in values], np.int32)
            yield name, Texts(codes[identity.groups.codes], texts)


def names(plan: Plan) -> dict[str, str]:
    """How a plan's decisions call their model and configuration, by digest."""
    model, config = plan.decision.model, plan.decision.config
    named = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    found = {model.get("digest"): named, config.get("digest"): config.get("revision")}
    return {digest: name for digest, name in found.items() if digest and name}


def values(column: Texts, rows: Longs | None) -> Values:
    """How often each value of a column occurs among some rows, or all."""
    codes = column.codes if rows is None else column.codes[rows]
    if len(codes) and is_constant(codes):
        return Counter({None if codes[0] < 0 else column.values[codes[0]]: len(codes)})
    counts = np.bincount(codes + 1, minlength=1)
    return Counter(
        {
            None if code == 0 else column.values[code - 1]: int(counts[code])
            for code in np.flatnonzero(counts)
        }
    )


def _model(plan: Plan) -> str | None:
    model = plan.decision.model
    named = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    digest: str | None = model.get("digest")
    return digest or named or None


def _config(plan: Plan) -> str | None:
    config = plan.decision.config
    found: str | None = config.get("digest") or config.get("revision")
    return found


def _entry(field: str, live: Callable[[Plan], str | None]) -> Callable[[Plan], str | None]:
    """What made the cache entry that answered, where that was not what is live."""

    def of(plan: Plan) -> str | None:
        cache = plan.decision.cache
        found: str | None = cache.get(field) if cache.get("hit") else None
        return found if found != live(plan) else None

    return of


_OF_PLANS: dict[str, Callable[[Plan], str | None]] = {
    "model": _model,
    "configuration": _config,
    "cache entry of model": _entry("model_digest", _model),
    "cache entry of configuration": _entry("config_digest", _config),
}
