"""Decisions that are not what they were: each change makes of an honest record another one."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from forensics.records.decision import ExactNumber

Record = dict[str, Any]
Change = Callable[[Record], None]

UNKNOWN = "sha256:" + "0" * 64


def _set(*path: str, to: Any) -> Change:
    def change(record: Record) -> None:
        place = record
        for name in path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                return
        place[path[-1]] = copy.deepcopy(to)  # which later changes may change

    return change


def _drop(*path: str) -> Change:
    def change(record: Record) -> None:
        place = record
        for name in path[:-1]:
            place = place.get(name) or {}
        place.pop(path[-1], None)

    return change


def _step(kind: str, **fields: Any) -> Change:
    def change(record: Record) -> None:
        for step in record.get("steps", ()):
            if step.get("kind") == kind:
                for name, value in fields.items():
                    if value is None:
                        step.pop(name, None)
                    else:
                        step[name] = value

    return change


def _without_step(kind: str) -> Change:
    def change(record: Record) -> None:
        record["steps"] = [step for step in record.get("steps", ()) if step.get("kind") != kind]

    return change


def _repeated_step(kind: str) -> Change:
    def change(record: Record) -> None:
        again = [copy.deepcopy(s) for s in record.get("steps", ()) if s.get("kind") == kind]
        for step in again:
            step.pop("digest", None)
        record["steps"] = [*record.get("steps", ()), *again]

    return change


def _ulps(steps: int) -> Change:
    def change(record: Record) -> None:
        raw = record.get("score_bytes")
        if isinstance(raw, str) and len(raw) == 8:
            (whole,) = struct.unpack("<i", bytes.fromhex(raw))
            moved = struct.pack("<i", whole + steps)
            record["score_bytes"] = moved.hex()
            record["score"] = struct.unpack("<f", moved)[0]

    return change


def _as_double(record: Record) -> None:
    if isinstance(record.get("score"), float):
        record["score_dtype"] = "float64"
        record["score_bytes"] = struct.pack("<d", record["score"]).hex()


def _rounded(record: Record) -> None:
    if isinstance(record.get("score"), float):
        record["score"] = round(record["score"], 3)
    record.pop("score_bytes", None)


def _of_feature(name: str, change: Callable[[Any], Any]) -> Change:
    def to(record: Record) -> None:
        if name in record.get("features", {}):
            record["features"][name] = change(record["features"][name])

    return to


def changes(
    models: list[str], configs: list[str], features: list[str]
) -> st.SearchStrategy[Change]:
    """One change of a record.

    Args:
        models: digests of models that the lake has.
        configs: digests of configurations that it has.
        features: names of the features.
    """
    model = st.sampled_from([*models, UNKNOWN])
    config = st.sampled_from([*configs, UNKNOWN])
    feature = st.sampled_from(features)
    outcome = st.sampled_from(["APPROVE", "DECLINE", "REFER", "ELSE"])
    plain = [
        *(_drop(name) for name in ("score", "score_bytes", "score_dtype", "threshold", "features",
                                   "model", "config", "steps", "cache")),
        *(_drop("model", name) for name in ("digest", "name", "runtime")),
        *(_drop("config", name) for name in ("digest", "values")),
        *(_without_step(kind) for kind in ("rules", "model", "cache")),
        *(_step("rules", outputs=outputs) for outputs in (
            None, {"rule": "R9"}, {"outcome": "APPROVE"}, {"outcome": 7}, {"rule": 3}, [1], "text",
            {"rule_id": "R0", "outcome": "APPROVE"}, {"outcome": None},
        )),
        _step("rules", digest=None),
        _step("rules", digest=UNKNOWN),
        _step("rules", id=None),
        _step("rules", status="error"),
        _step("model", status="error", error="timed out"),
        _step("model", id="score"),
        _step("model", component="score", outputs={"score": 0.5}),
        _repeated_step("rules"),
        _ulps(1), _ulps(-1), _ulps(2), _as_double, _rounded,
        _set("score", to=1), _set("score", to="NaN"), _set("score_dtype", to="int64"),
        _set("score_dtype", to="float64"), _set("score_bytes", to="00"),
        _set("score_bytes", to="0000000000000000"), _set("score_bytes", to="0100000000000000"),
        _set("score", to=0.123), _set("score", to=0.612003), _set("score", to=1e39),
        _set("threshold", to=0.5), _set("threshold", to=1), _set("threshold", to="NaN"),
        _set("config", "values", to={"threshold": 0.4, "max_months_late": 3}),
        _set("config", "values", to={"threshold": "0.58"}),
        _set("config", "values", to=["threshold"]),
        _set("config", "values", "threshold", to=0.6),
        _set("config", "values", "more", to={"deep": [1, 2]}),
        _set("cache", "hit", to=True),
        _set("model", "runtime_version", to="2.1.0"),
    ]  # fmt: skip
    return st.one_of(
        st.sampled_from(plain),
        st.builds(lambda to: _set("model", "digest", to=to), model),
        st.builds(lambda to: _set("config", "digest", to=to), config),
        st.builds(lambda to: _set("cache", to={"hit": True, "model_digest": to}), model),
        st.builds(
            lambda m, c: _set("cache", to={"hit": True, "model_digest": m, "config_digest": c}),
            model,
            config,
        ),
        st.builds(lambda to: _set("outcome", to=to), outcome),
        st.builds(lambda name: _drop("features", name), feature),
        st.builds(lambda name: _of_feature(name, lambda _: None), feature),
        st.builds(lambda name: _of_feature(name, lambda _: "NaN"), feature),
        st.builds(lambda name: _of_feature(name, lambda _: 1e39), feature),
        st.builds(lambda name: _of_feature(name, lambda _: 12345678901234567890), feature),
        st.builds(
            lambda name: _of_feature(name, lambda v: ExactNumber(f"{v or 0:.17f}4999")), feature
        ),
        st.builds(lambda name: _set("features", name, to=0), feature),
        st.builds(lambda name: _set("features", f"{name}_not_seen", to=None), feature),
    )


@st.composite
def mutated(
    draw: st.DrawFn, records: list[Record], change: st.SearchStrategy[Change], count: int
) -> list[Record]:
    """Some of ``records``, each with none to three changes."""
    found = []
    for number in range(count):
        record = copy.deepcopy(draw(st.sampled_from(records)))
        record["decision_id"] = record["request_id"] = f"m-{number}"
        for apply in draw(st.lists(change, max_size=3)):
            apply(record)
        found.append(record)
    return found
