"""Questions about single decisions: which there are, how each came about, how two differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.api.found import Found
from forensics.api.opened import Opened
from forensics.api.times import instant
from forensics.lake.find import Query

if TYPE_CHECKING:
    from forensics.explain.explanation import Explanation
    from forensics.reconstruct.diff import Diff
    from forensics.reconstruct.reconstruction import Reconstruction


class Decisions(Opened):
    """Questions about single decisions."""

    def find(self, query: Query | None = None, /, **fields: Any) -> Found:
        """Decisions that match.

        Args:
            query: what to look for; everything where None.
            fields: the same as keywords, e.g. ``outcome="DECLINE", limit=10``.

        Raises:
            UsageError: when the query names a decision point or a field that there is not; raised
                when rows are asked for.
        """
        times = {name: instant(fields[name]) for name in ("since", "until") if fields.get(name)}
        return Found(self, replace(query or Query(), **fields | times))

    def trace(
        self,
        identifier: str,
        *,
        replay: bool = True,
        counterfactuals: int = 1,
        exact_runtime: bool = False,
    ) -> list[Reconstruction]:
        """All decisions that a request id or decision id names, reconstructed, oldest first.

        Args:
            identifier: the id.
            replay: run the recorded artifacts again.
            counterfactuals: how many to look for.
            exact_runtime: run models with the recorded versions of their libraries, which are
                installed in a cache of their own where that has not been done yet.

        Raises:
            NotFoundError: when there is none; it names the nearest ids.
        """
        snapshot = self.snapshot()
        snapshot.connect_ahead()  # while what asks it is loaded
        from forensics.reconstruct.trace import trace

        return trace(
            snapshot,
            identifier,
            replay=replay,
            counterfactuals=counterfactuals,
            workers=self.workers() if replay else None,
            environment=_exact if exact_runtime else None,
        )

    def explain(
        self,
        identifier: str,
        *,
        background: str | None = None,
        interventional: bool = False,
        reasons: bool = False,
        templates: str | PathLike[str] | None = None,
        reference: str | None = None,
        adverse: Iterable[str] = (),
        counterfactuals: int = 1,
        target: Iterable[str] = (),
        time_s: float | None = None,
    ) -> list[Explanation]:
        """All decisions that a request id or decision id names, explained, oldest first.

        Args:
            identifier: the id.
            background: rows to compare with: a digest in the lake, or a file.
            interventional: compare with the background whatever the model.
            reasons: find the principal reasons too.
            templates: a ``reasons.toml`` with the words for them.
            reference: the population that reasons are relative to: a digest in the lake, or a file;
                else the one that the templates name.
            adverse: outcomes for which reasons are given; else those that the templates name.
            counterfactuals: how many to look for.
            target: outcomes that they must give; any other where empty.
            time_s: how much to look for the nearest and for a proof that none is nearer, as the
                seconds that it takes an idle core; the answer depends on neither clock nor load.
                None is a moment, 0.07 s or less, as for a trace.

        Raises:
            NotFoundError: when there is no such decision, artifact or file.
            UsageError: when background, reference or templates do not fit the decision.
            DependencyError: when shap is needed and not installed.
        """
        from forensics.explain.explanation import Options
        from forensics.explain.templates import NO_TEMPLATES
        from forensics.reconstruct.explained import explained, reference_named, templates_at

        words = NO_TEMPLATES if templates is None else templates_at(Path(templates))
        named = reference or words.reference
        options = Options(
            background=background,
            interventional=interventional,
            reasons=reasons,
            templates=words,
            reference=reference_named(named, self.root) if named and reasons else None,
            adverse=tuple(adverse),
            counterfactuals=counterfactuals,
            time_s=time_s,
            target=tuple(target),
        )
        return explained(self.snapshot(), identifier, options, workers=self.workers())

    def diff(self, a: str, b: str) -> Diff:
        """What differs between two decisions, named by request or decision id.

        Where an id names several decisions, the first is taken.

        Raises:
            NotFoundError: when one of them is not in the lake.
        """
        from forensics.reconstruct.compare import compare

        return compare(self.snapshot(), a, b)


def _exact(runtime: str | None, version: str | None) -> Path:
    from forensics.replay.environments import exact_environment, requirements

    return exact_environment(requirements(runtime, version))
