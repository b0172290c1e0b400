"""Made-up decisions as DuckDB queries: 30 days of a credit line with 30 typed features.

Row ``i`` of ``n`` is the same in whatever pieces it is made, ids follow from ``i`` alone, and times
rise with ``i``. Values are spread as logged ones are (whole amounts, ratios of four places, few
categories), since what they look like decides how they parse and compress.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

#: A lake that other queries made is made anew.
VERSION = 1
DAYS = 30
POINT = "credit_line"
START = datetime(2026, 10, 1, tzinfo=UTC)


def _uniform(salt: int) -> str:
    """0 to 1, without 1."""
    return f"((hash(i * 64 + {salt}) >> 11) / 9007199254740992.0)"


def _whole(salt: int, low: int, high: int, step: int = 1) -> str:
    return f"({low} + {step} * floor({_uniform(salt)} * {(high - low) // step + 1}))::BIGINT"


def _amount(salt: int, scale: int) -> str:
    """Mostly small, seldom large, as money is."""
    return f"floor({scale} * pow({_uniform(salt)}, 3))::BIGINT"


def _share(salt: int) -> str:
    return f"round({_uniform(salt)}, 4)"


def _one_of(salt: int, *names: str) -> str:
    choices = ", ".join(f"'{name}'" for name in names)
    return f"[{choices}][1 + floor({_uniform(salt)} * {len(names)})::INTEGER]"


FEATURES: dict[str, str] = {
    "limit_asked": _whole(1, 10_000, 800_000, 10_000),
    "age": _whole(2, 21, 75),
    "tenure": _whole(3, 0, 240),
    "channel": _one_of(4, "branch", "web", "app", "partner"),
    "job": _one_of(5, "employed", "self", "retired", "student", "none"),
    "region": _one_of(6, "n", "ne", "e", "se", "s", "sw", "w", "nw"),
    "known": f"{_uniform(7)} < 0.7",
    "verified": f"{_uniform(8)} < 0.9",
    "income": _amount(9, 250_000),
    "bureau": _whole(10, 300, 850),
    "use_1m": _share(11),
    "use_6m": _share(12),
    "debt_ratio": _share(13),
    "volatility": _share(14),
    **{f"delay_{month}": _whole(14 + month, -1, 8) for month in range(1, 7)},
    **{f"bill_{month}": _amount(20 + month, 200_000) for month in range(1, 6)},
    **{f"paid_{month}": _amount(25 + month, 50_000) for month in range(1, 6)},
}

_SCORE = _share(40)
_THRESHOLD = "0.42"


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def request_id(i: str) -> str:
    """The request id of row ``i`` as an SQL expression."""
    return f"'r-' || left(md5('request' || {i}), 16)"


def decision_id(i: str) -> str:
    """The decision id of row ``i`` as an SQL expression."""
    return f"'d-' || left(md5('decision' || {i}), 16)"


def decisions(first: int, last: int, of: int, *, times: str = "timestamp") -> str:
    """Rows ``first`` to ``last`` (without it) of ``of`` decisions, in the order of their time.

    Args:
        first: the first row.
        last: the row after the last.
        of: how many decisions the 30 days have.
        times: ``timestamp``, or ``text`` as JSON logs write them.
    """
    spacing = f"{DAYS * 86_400_000_000}::HUGEINT"
    micros = f"({int(START.timestamp()) * 1_000_000} + i * {spacing} // {of})::BIGINT"
    time = f"make_timestamptz({micros})"
    if times == "text":
        time = f"strftime(make_timestamp({micros}), '%Y-%m-%dT%H:%M:%S.%fZ')"
    features = ", ".join(f"{name} := {value}" for name, value in FEATURES.items())
    third = f"(i * 3 // {of})"
    versions = f"['v1', 'v2', 'v3'][1 + {third}]"
    digests = f"[{', '.join(repr(_digest(f'pd v{v}')) for v in (1, 2, 3))}][1 + {third}]"
    return f"""
        SELECT '{POINT}' AS decision_point, {decision_id("i")} AS decision_id,
               {request_id("i")} AS request_id, {time} AS occurred_at,
               CASE WHEN {_SCORE} >= {_THRESHOLD} THEN 'DECLINE' ELSE 'APPROVE' END AS outcome,
               {_SCORE} AS score, {_THRESHOLD}::DOUBLE AS threshold,
               CASE WHEN {_uniform(41)} < 0.05 THEN 'canary' ELSE 'production' END AS environment,
               struct_pack(id := 'c-' || {_whole(42, 1, 300_000)}) AS subject,
               struct_pack(name := 'pd', version := {versions}, digest := {digests}) AS model,
               struct_pack(revision := 'c' || (i * 12 // {of})) AS config,
               [struct_pack(kind := 'feature_fetch', component := 'store', version := '7'),
                struct_pack(kind := 'rules', component := 'policy', version := '12')] AS steps,
               struct_pack({features}) AS features
        FROM (SELECT unnest(generate_series({first}, {last - 1})) AS i)
    """


def changes() -> str:
    """Two changes a day, as JSON lines."""
    lines = []
    for number in range(DAYS * 2):
        model = number % 20 == 0
        change = {
            "record": "change",
            "change_id": f"change-{number}",
            "occurred_at": (START + timedelta(hours=12 * number)).isoformat(),
            "kind": "deploy" if model else "config",
            "component": "pd" if model else "thresholds",
            "decision_point": POINT,
            "from_version": f"v{number // 20}" if model else f"c{number // 5}",
            "to_version": f"v{number // 20 + 1}" if model else f"c{number // 5 + 1}",
            "actor": "release-bot",
        }
        lines.append(json.dumps(change) + "\n")
    return "".join(lines)
