"""Reconstruct, explain and prove automated decisions from the evidence they left.

>>> import forensics
>>> lake = forensics.open("build/sample-lake")          # doctest: +SKIP
>>> lake.trace("7f3a-c1")[0].replay.verdict             # doctest: +SKIP
'bit_exact'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forensics.api import Lake
    from forensics.api import open_lake as open

__all__ = ["Lake", "open"]


def __getattr__(name: str) -> Any:
    # The facade stands on every room; importing it here would make each room load them all.
    if name in ("open", "Lake"):
        from forensics import api

        return api.open_lake if name == "open" else api.Lake
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
