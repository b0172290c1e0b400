"""Changes: what became different, when, when we knew, and who says so.

Explicit ones were recorded as such. Derived ones are read off what decisions used and what runs
did. A derived change that an explicit one announces confirms it and is not said twice; one that
nobody announced says so.
"""

from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.changes.query import before, between, with_runs

__all__ = ["Change", "before", "between", "with_runs"]
