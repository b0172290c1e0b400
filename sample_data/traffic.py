"""Who asks when, and for how much: seeded requests, slice by slice of the thirty days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .plan import CANARY_SHARE, CLIENTS, DAY, DAYS, HOUR, MINUTE, START

REPEAT_SHARE = 0.11
REPEAT_DELAY = (30 * MINUTE, 40 * HOUR)
#: Requests an hour relative to each other, from 00:00 to 23:00; online, so nights are not empty.
_HOURLY = (
    76,
    70,
    66,
    64,
    64,
    66,
    70,
    78,
    90,
    104,
    114,
    118,
    116,
    118,
    122,
    120,
    116,
    120,
    128,
    132,
    126,
    110,
    94,
    82,
)
_WEEKDAY = (1.04, 1.06, 1.05, 1.03, 1.02, 0.93, 0.87)


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one slice in order of time; ``index`` counts from the beginning of the window."""

    index: NDArray[np.int64]
    moment: NDArray[np.int64]
    client: NDArray[np.int64]
    requested_limit: NDArray[np.float64]
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Pin:
    """A request that is to happen at exactly this time, in place of the nearest one."""

    moment: int
    client: int
    requested_limit: float


class Traffic:
    """The stream of requests. Slices must be asked for in order, since clients come back."""

    def __init__(self, total: int, seed: int, limit: NDArray[np.float64]) -> None:
        self.total = total
        self._seed = seed
        self._limit = limit
        self._fresh = 0
        self._past = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        self._grid = START + np.arange(DAYS * 1440 + 1, dtype=np.int64) * MINUTE
        hour = np.append(_HOURLY, _HOURLY[0])
        rate = np.interp((np.arange(DAYS * 1440) % 1440) / 60, np.arange(25), hour)
        # The window begins on a Thursday.
        weekday = np.array(_WEEKDAY)[(np.arange(DAYS * 1440) // 1440 + 3) % 7]
        self._cumulative = np.concatenate([[0.0], np.cumsum(rate * weekday)])
        self._cumulative *= total / self._cumulative[-1]

    def slice(self, start: int, end: int, pin: Pin | None = None) -> Requests:
        """The requests from ``start`` up to ``end``."""
        low, high = np.interp([start, end], self._grid, self._cumulative)
        first, last = round(float(low)), round(float(high))
        rng = np.random.default_rng([self._seed, 4, (start - START) // MINUTE])
        spot = np.sort(rng.uniform(low, high, last - first))
        moment = np.interp(spot, self._cumulative, self._grid).astype(np.int64)
        moment = np.sort(np.clip(moment + rng.integers(0, 1_000_000, moment.size), start, end - 1))
        again = rng.random(moment.size) < REPEAT_SHARE
        pinned = -1
        if pin is not None:
            pinned = int(np.argmin(np.abs(moment - pin.moment)))
            moment[pinned] = pin.moment
            again[pinned] = False
        client = np.zeros(moment.size, np.int64)
        requested = np.zeros(moment.size)
        soonest, latest = np.log(REPEAT_DELAY)
        delay = np.exp(rng.uniform(soonest, latest, moment.size)).astype(np.int64)
        again &= moment - delay >= (self._past[0][0] if self._past[0].size else start)
        new = np.flatnonzero(~again)
        client[new] = self._next_clients(new.size)
        requested[new] = asked_for(self._limit[client[new]], rng)
        if pin is not None:
            client[pinned], requested[pinned] = pin.client, pin.requested_limit
        past = (
            np.concatenate([self._past[0], moment[new]]),
            np.concatenate([self._past[1], client[new]]),
            np.concatenate([self._past[2], requested[new]]),
        )
        source = np.searchsorted(past[0], (moment - delay)[again], side="right") - 1
        source = np.maximum(source, 0)
        client[again], requested[again] = past[1][source], past[2][source]
        recent = past[0] >= end - REPEAT_DELAY[1]
        self._past = (past[0][recent], past[1][recent], past[2][recent])
        return Requests(np.arange(first, last), moment, client, requested, rng)

    def never_drawn(self) -> NDArray[np.int64]:
        """Clients of the first round that would come last; at scale 1 they do not come at all."""
        return self._round(0)[-CLIENTS // 12 :]

    def _round(self, number: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, 45, number]).permutation(CLIENTS)

    def _next_clients(self, count: int) -> NDArray[np.int64]:
        """Every client once, then every client again in another order, and so on."""
        begin, end = self._fresh, self._fresh + count
        self._fresh = end
        rounds = [self._round(i) for i in range(begin // CLIENTS, (end - 1) // CLIENTS + 1)]
        offset = begin - begin // CLIENTS * CLIENTS
        return np.concatenate([*rounds, np.empty(0, np.int64)])[offset : offset + count]


def asked_for(limit: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The limit that clients with this present limit ask for, in tens of thousands."""
    ratio = 1.1 + rng.lognormal(-0.7, 0.7, limit.size)
    return np.asarray(np.ceil(limit * ratio / 10_000) * 10_000)


def in_canary(client: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Clients whose requests go to the canary while there is one: always the same ones."""
    return np.asarray((client * 7919 + 13) % 1000 < CANARY_SHARE * 1000)


def day_slices(scale: int) -> list[tuple[int, int]]:
    """The window in days, or in shorter slices where a day would not fit comfortably in memory."""
    pieces = -(-scale // 33)
    length = DAY // pieces
    return [
        (
            START + day * DAY + i * length,
            START + day * DAY + (i + 1) * length if i + 1 < pieces else START + (day + 1) * DAY,
        )
        for day in range(DAYS)
        for i in range(pieces)
    ]
