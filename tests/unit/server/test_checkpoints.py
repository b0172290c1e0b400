"""While a server runs the log's checkpoint is never old, also when nothing lands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forensics.api import open_lake
from forensics.lake import looks
from forensics.lake.verify.whole import Options, verify
from forensics.server.landing import keep_current
from forensics.testing import decision_record

TakeIn = Callable[..., Any]


def size(lake: Path) -> int:
    return int((lake / "log" / "checkpoint").read_text(encoding="utf-8").splitlines()[1])


def aged(lake: Path) -> None:
    long_ago = time.time() - 61
    os.utime(lake / "log" / "checkpoint", (long_ago, long_ago))


def test_an_old_checkpoint_is_renewed_and_a_young_one_is_not(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record()])
    before, told = size(lake), list[Any]()
    keep_current(lake, told.append)
    assert size(lake) == before
    aged(lake)
    keep_current(lake, told.append)
    assert size(lake) > before
    assert told == []
    assert not verify(lake, Options()).findings.broken


def test_looks_are_taken_in_meanwhile(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(request_id="r")])
    looks._last.clear()
    with open_lake(lake) as opened:
        opened.trace("r", replay=False)
    assert looks.waiting(lake)
    aged(lake)
    keep_current(lake, list[Any]().append)
    assert not looks.waiting(lake)


def test_a_lake_without_a_log_is_left_alone(lake: Path) -> None:
    keep_current(lake, list[Any]().append)
    assert not (lake / "log" / "checkpoint").exists()


def test_that_nobody_can_sign_is_told(lake: Path, take_in: TakeIn, monkeypatch: Any) -> None:
    take_in([decision_record()])
    aged(lake)
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(lake / "nowhere"))
    told = list[Any]()
    keep_current(lake, told.append)
    assert told[0]["event"] == "note"
