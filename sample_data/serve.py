"""The deciding service: features fetched, the cache looked up, scored, ruled, handed over.

Works on a slice of requests at a time, in order of time; what lives longer than a slice is the
cache, the writers' sequence numbers and the feature store. Everything is arrays, no loop over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import plan, policy
from .ids import request_numbers, showcase_number, subject_numbers
from .models import Model
from .traffic import Requests, in_canary
from .views import FEATURES, WHOLE, FeatureStore, assembled

#: Process instances and their regions; the last one is the canary's.
REPLICAS = (
    ("credit-line-0", "eu-north-1"),
    ("credit-line-1", "eu-north-1"),
    ("credit-line-2", "eu-west-1"),
    ("credit-line-canary-0", "eu-north-1"),
)
_KEYS = """
WITH keyed AS (SELECT concat_ws('|', {parts}) AS key FROM asking)
SELECT sha256(key) AS hex, md5_number_lower(key)::UBIGINT AS number FROM keyed
"""


class Entries(NamedTuple):
    """What the cache holds: one element an entry."""

    key: NDArray[np.uint64]
    moment: NDArray[np.int64]
    score: NDArray[np.float32]
    rule: NDArray[np.int8]
    model: NDArray[np.int8]
    config: NDArray[np.int8]

    def take(self, which: NDArray[np.int64]) -> Entries:
        """The entries at these positions."""
        return Entries(
            self.key[which],
            self.moment[which],
            self.score[which],
            self.rule[which],
            self.model[which],
            self.config[which],
        )

    def followed_by(self, more: Entries) -> Entries:
        """These entries and then those."""
        return Entries(
            np.concatenate([self.key, more.key]),
            np.concatenate([self.moment, more.moment]),
            np.concatenate([self.score, more.score]),
            np.concatenate([self.rule, more.rule]),
            np.concatenate([self.model, more.model]),
            np.concatenate([self.config, more.config]),
        )


@dataclass(slots=True)
class Decided:
    """The decisions of one slice, one element or row a decision."""

    requests: Requests
    number: NDArray[np.uint64]
    subject: NDArray[np.uint64]
    features: NDArray[np.float64]
    bureau_run: NDArray[np.int32]
    billing_run: NDArray[np.int32]
    model: NDArray[np.int8]
    canary: NDArray[np.bool_]
    config: NDArray[np.int8]
    key_hex: pa.Array
    hit: NDArray[np.bool_]
    #: The entry that answered, where one did; the decision's own values elsewhere.
    entry: Entries
    fresh_score: NDArray[np.float32]
    fresh_rule: NDArray[np.int8]

    @property
    def score(self) -> NDArray[np.float32]:
        """The score that was answered, from the cache or not."""
        return self.entry.score

    @property
    def rule(self) -> NDArray[np.int8]:
        """Position of the rule that was answered."""
        return self.entry.rule


class Service:
    """The service over the thirty days."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        models: list[Model],
        store: FeatureStore,
        total: int,
        seed: int,
    ) -> None:
        self.con = con
        self.models = models
        self.store = store
        self.total = total
        self.seed = seed
        self._config_digests = [policy.config_digest(config) for config in plan.CONFIGS]
        self._sequence = np.zeros(len(REPLICAS), np.int64)
        self._entries = Entries(
            np.empty(0, np.uint64),
            np.empty(0, np.int64),
            np.empty(0, np.float32),
            np.empty(0, np.int8),
            np.empty(0, np.int8),
            np.empty(0, np.int8),
        )

    def decide(self, requests: Requests) -> Decided:
        """Answer a slice of requests."""
        moment, client = requests.moment, requests.client
        bureau, bureau_run = self.store.served("bureau_features", moment, client)
        billing, billing_run = self.store.served("billing_features", moment, client)
        features = assembled(requests.requested_limit, bureau, billing)
        model, canary = self._live_model(moment, client)
        published = np.array([config.published_at for config in plan.CONFIGS])
        config = (np.searchsorted(published, moment, side="right") - 1).astype(np.int8)
        subject = subject_numbers(client, self.seed)
        key_hex, key = self._keys(features, subject, model, config, moment)
        score = self.score(features, model)
        rule = policy.first_rule(self.con, FEATURES, features, score, config)
        number = request_numbers(requests.index, self.total, self.seed)
        number[moment == plan.SHOWCASE_AT] = showcase_number(self.total)
        asked = Entries(key, moment, score, rule, model, config)
        hit, entry = self._look_up(asked)
        return Decided(
            requests,
            number,
            subject,
            features,
            bureau_run,
            billing_run,
            model,
            canary,
            config,
            key_hex,
            hit,
            entry,
            score,
            rule,
        )

    def score(self, features: NDArray[np.float64], model: NDArray[np.int8]) -> NDArray[np.float32]:
        """Scores of a batch, each row by its own model."""
        score = np.zeros(len(features), np.float32)
        for i, one in enumerate(self.models):
            rows = model == i
            if rows.any():
                score[rows] = one.score(features[rows])
        return score

    def sequence(self, writer: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next sequence number of each record's writer."""
        sequence = np.zeros(writer.size, np.int64)
        for i in range(len(self._sequence)):
            rows = np.flatnonzero(writer == i)
            sequence[rows] = self._sequence[i] + 1 + np.arange(rows.size)
            self._sequence[i] += rows.size
        return sequence

    def _live_model(
        self, moment: NDArray[np.int64], client: NDArray[np.int64]
    ) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        deployed = np.array([plan.V1_DEPLOYED, plan.V2_DEPLOYED, plan.V3_PROMOTED])
        model = (np.searchsorted(deployed, moment, side="right") - 1).astype(np.int8)
        canary = in_canary(client) & (moment >= plan.V3_CANARY) & (moment < plan.V3_PROMOTED)
        model[canary] = 2
        return model, canary

    def _keys(
        self,
        features: NDArray[np.float64],
        subject: NDArray[np.uint64],
        model: NDArray[np.int8],
        config: NDArray[np.int8],
        moment: NDArray[np.int64],
    ) -> tuple[pa.Array, NDArray[np.uint64]]:
        """The cache key of each request: its SHA-256, and a number to group by.

        Until it was mended the key held no model digest: the third thing that goes wrong.
        """
        digests = np.array([model.digest for model in self.models])[model]
        digests[moment < plan.CACHE_KEY_MENDED] = ""
        columns = {
            name: pa.array(features[:, i], from_pandas=True) for i, name in enumerate(FEATURES)
        }
        columns["subject"] = pa.array(subject)
        columns["config"] = pa.array(np.array(self._config_digests)[config])
        columns["model"] = pa.array(digests)
        parts = ", ".join(
            f"coalesce({name}::{'BIGINT::' if name in WHOLE else ''}VARCHAR, '-')"
            for name in columns
            if name in FEATURES
        )
        self.con.register("asking", pa.table(columns))
        found = self.con.sql(
            _KEYS.format(parts=f"'{plan.POINT}', subject, {parts}, config, model")
        ).to_arrow_table()
        self.con.unregister("asking")
        return found["hex"].combine_chunks(), found["number"].to_numpy()

    def _look_up(self, asked: Entries) -> tuple[NDArray[np.bool_], Entries]:
        """Which requests the cache answers, and what is answered.

        A slice is no longer than an entry lives, so that within it at most two entries of one key
        can answer: the one that was there (or the first request's), and the one that the first
        request after its expiry writes.
        """
        kept = self._entries
        both = kept.followed_by(asked)
        order = np.lexsort((both.moment, both.key))
        key, moment = both.key[order], both.moment[order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        head = np.repeat(first, np.diff(np.append(first, key.size)))
        expired = moment >= moment[head] + plan.CACHE_TTL
        position = np.arange(key.size)
        second = np.full(key.size, key.size)
        np.minimum.at(second, head[expired], position[expired])
        head = np.where(expired, second[head], head)
        source = np.empty(key.size, np.int64)
        source[order] = order[head]
        answered = source[kept.key.size :]
        hit = answered != np.arange(kept.key.size, both.key.size)
        written = np.unique(source)
        alive = written[both.moment[written] > asked.moment[-1] - plan.CACHE_TTL]
        self._entries = both.take(alive)
        return hit, both.take(answered)
