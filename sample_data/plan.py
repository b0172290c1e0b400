"""The calendar of the thirty days: what was in force when, and when what went wrong.

Everything here is fixed and independent of seed and scale, so that tests and documentation can name
times. Times inside the build are integers: microseconds since 1970 UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

POINT = "credit_line"
#: Decisions at scale 1; one for each client of the data set.
CLIENTS = 30_000
DAYS = 30
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(text: str) -> int:
    """Microseconds of a UTC time such as ``2026-10-21 02:13:04``."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def iso(moment: int) -> str:
    """The time as the records write it: microseconds, ``Z``."""
    seconds, micros = divmod(moment, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


START = at("2026-10-01 00:00:00")
END = START + DAYS * DAY

# --- models -------------------------------------------------------------------------------------

V1_DEPLOYED = at("2026-09-14 09:00:00")
V2_DEPLOYED = at("2026-10-12 09:30:00")
V3_CANARY = at("2026-10-20 08:00:00")
V3_PROMOTED = at("2026-10-27 08:00:00")
CANARY_SHARE = 0.08

# --- configuration ------------------------------------------------------------------------------


class ConfigRevision(NamedTuple):
    """One published configuration and its values."""

    revision: str
    published_at: int
    values: dict[str, float]


CONFIGS = (
    ConfigRevision(
        "c12",
        at("2026-09-02 10:00:00"),
        {
            "cache_ttl_s": 86_400,
            "max_months_late": 3,
            "max_request_ratio": 3.0,
            "refer_threshold": 0.36,
            "threshold": 0.58,
        },
    ),
    ConfigRevision(
        "c13",
        at("2026-10-05 11:00:00"),
        {
            "cache_ttl_s": 86_400,
            "max_months_late": 3,
            "max_request_ratio": 2.5,
            "refer_threshold": 0.36,
            "threshold": 0.58,
        },
    ),
    ConfigRevision(
        "c14",
        at("2026-10-16 14:20:00"),
        {
            "cache_ttl_s": 86_400,
            "max_months_late": 3,
            "max_request_ratio": 2.5,
            "refer_threshold": 0.36,
            "threshold": 0.5,
        },
    ),
)
C14_PUBLISHED = CONFIGS[2].published_at
CACHE_TTL = 86_400 * 1_000_000

# --- service, cache, consumer -------------------------------------------------------------------

SERVICE_VERSIONS = ("1.8.2+b41c9e0", "1.8.3+e07d2aa")
#: From here on the cache key holds the model's digest.
CACHE_KEY_MENDED = at("2026-10-13 16:00:00")

CONSUMER = "core_banking"
CONSUMER_BROKEN = at("2026-10-22 10:00:00")
CONSUMER_MENDED = at("2026-10-22 17:10:00")
CONSUMER_VERSIONS = ("4.2.0", "4.2.1", "4.2.2")

# --- pipelines ----------------------------------------------------------------------------------

#: The run that first wrote utilisation_3m as per cent: begun at 02:13:00, written at 02:13:04.
BAD_RUN = at("2026-10-21 02:13:00")
BAD_WRITTEN = at("2026-10-21 02:13:04")
ROLLBACK_RUN = at("2026-10-21 05:40:00")
ROLLBACK_WRITTEN = at("2026-10-21 05:40:05")
BUREAU_REFACTORED = at("2026-10-08 10:47:00")
#: This bureau run failed, so that the values of the run before were served for six hours more.
BUREAU_FAILED = at("2026-10-15 10:47:00")

# --- the decision that the documentation shows ---------------------------------------------------

SHOWCASE_AT = at("2026-10-21 02:41:07") + 318_000
SHOWCASE_ID = 0x7F3AC1
