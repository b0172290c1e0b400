"""Check: all detectors over a window, decisions a second and memory, cold process.

The lakes are the sample bank's, with steps, sources, caches, consumers and overrides, at two
sizes: what grows with the window is time, not memory.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import _measure
from _measure import FORENSICS, Run

_FOLDER = Path(__file__).parents[1] / "build" / "bench"
#: Exit status of an answer with findings.
_FOUND = 4
#: CPU microseconds a decision, and megabytes whatever the window.
GOAL_US, GOAL_MB = 15.0, 500.0


def main() -> None:
    """Builds the lakes where they are not there yet, measures, and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", type=int, nargs="+", default=[8, 33], help="of 30,000 each")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    lakes = {scale: _lake(scale) for scale in sorted(asked.scales)}
    runs = _measure.in_turns(
        {str(scale): lambda lake=lake: _check(lake) for scale, lake in lakes.items()}, asked.rounds
    )
    sizes = {scale: _size(int(scale), of) for scale, of in runs.items()}
    largest = sizes[str(max(lakes))]
    _measure.emit(
        "check",
        {
            "lakes": sizes,
            "goals": [
                _measure.goal(
                    f"at most {GOAL_US:g} CPU microseconds a decision",
                    largest["cpu_us_per_decision"],
                    largest["cpu_us_per_decision"] <= GOAL_US,
                ),
                _measure.goal(
                    f"at most {GOAL_MB:g} MB", largest["peak_mb"], largest["peak_mb"] <= GOAL_MB
                ),
            ],
        },
    )


def _lake(scale: int) -> Path:
    lake = _FOLDER / f"sample-{scale}"
    if not lake.with_name(f"{lake.name}-evidence").joinpath("in-the-lake").is_file():
        _measure.note(f"building the sample bank at scale {scale}")
    lake.parent.mkdir(parents=True, exist_ok=True)
    _measure.run([FORENSICS, "demo", "--lake", str(lake), "--scale", str(scale), "--quiet"])
    return lake


def _check(lake: Path) -> Run:
    return _measure.run([FORENSICS, "check", "--lake", str(lake), "--json"], accepted=[_FOUND])


def _size(scale: int, runs: list[Run]) -> dict[str, Any]:
    decisions = json.loads(runs[0].stdout)["decisions"]
    cpu_s = min(run.user_s + run.system_s for run in runs)
    wall_s = min(run.wall_s for run in runs)
    return {
        "decisions": decisions,
        "wall_ms": _measure.wall_ms(runs),
        "decisions_per_second": round(decisions / wall_s),
        "cpu_us_per_decision": round(cpu_s / decisions * 1e6, 2),
        "peak_mb": round(max(run.peak_mb for run in runs)),
    }


if __name__ == "__main__":
    main()
