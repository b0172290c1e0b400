"""Bytes are the contract: the screen of `forensics trace`, held in files that are read as diffs.

FORENSICS_UPDATE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.report import text
from forensics.report.spans import plain

HERE = Path(__file__).parent
WIDTH = 100


def chosen(truth: dict[str, Any], name: str) -> str:
    incidents = {incident["name"]: incident for incident in truth["incidents"]}
    if name == "showcase":
        return str(incidents["billing_scale_jump"]["showcase"])
    if name == "stale_cache_diverged":
        verdicts = incidents["stale_cache"]["expected_verdicts"]
        return str(next(request for request, said in verdicts.items() if said == "diverged"))
    return str(incidents["consumer_misread"]["request_ids"][0])


def screen(lake: Path, request: str) -> str:
    """The screen without what each ingest draws anew: the name of the segment.

    And without counterfactuals: how far their search gets in its time differs between machines.
    """
    (found,) = forensics.open(lake).trace(request, counterfactuals=0)
    lines = [plain(line).rstrip() for line in text.screen(found, WIDTH)]
    lines += ["", *(plain(line).rstrip() for line in text.features(found, WIDTH))]
    assert found.integrity.segment
    return "\n".join(lines).replace(found.integrity.segment[:8], "5e93e27a") + "\n"


@pytest.mark.parametrize("name", ["showcase", "stale_cache_diverged", "consumer_misread"])
def test_the_screen_is_what_the_golden_file_holds(
    sample_lake: Path, truth: dict[str, Any], name: str
) -> None:
    file = HERE / f"trace_{name}.txt"
    shown = screen(sample_lake, chosen(truth, name))
    if os.environ.get("FORENSICS_UPDATE_GOLDEN") == "1":
        file.write_text(shown, encoding="utf-8", newline="\n")
    assert shown == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["showcase", "stale_cache_diverged", "consumer_misread"])
def test_golden_screens_have_unix_line_ends_and_fit_their_width(name: str) -> None:
    raw = (HERE / f"trace_{name}.txt").read_bytes()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    assert max(map(len, raw.decode().split("\n"))) <= WIDTH


def test_the_screen_tells_the_nearest_change_and_what_is_proven_of_it(
    sample_lake: Path, truth: dict[str, Any]
) -> None:
    (found,) = forensics.open(sample_lake).trace(chosen(truth, "showcase"))
    shown = [plain(line).rstrip() for line in text.screen(found, WIDTH)]
    start = shown.index("what would have changed it · each replayed")
    assert shown[start + 1].split()[0] in ("REFER", "APPROVE")
    assert found.search is not None
    assert any(line.strip().startswith("· ") for line in shown[start + 2 : start + 9])
    assert found.search.statement.split(":")[0] in ("proven", "not proven in the time given")


def test_of_a_cached_score_the_screen_says_that_changes_are_by_the_live_model(
    sample_lake: Path, truth: dict[str, Any]
) -> None:
    (found,) = forensics.open(sample_lake).trace(chosen(truth, "stale_cache_diverged"))
    shown = "\n".join(plain(line) for line in text.screen(found, WIDTH))
    assert "by the live model 0b490f; the score that was acted on came from a cache entry" in shown
    (found,) = forensics.open(sample_lake).trace(chosen(truth, "showcase"))
    assert "by the live model" not in "\n".join(plain(line) for line in text.screen(found, WIDTH))
