"""The trace: one decision reconstructed from all the evidence that the lake holds.

The model's process is started first and asked last: the lake's other questions are answered while
it loads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.errors import ForensicsError, IntegrityError, UsageError
from forensics.lake import read, sealed, seen
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.read import Kept
from forensics.lake.snapshot import Location, Snapshot
from forensics.lake.usual import Usual
from forensics.lake.usual import usual as usual_of
from forensics.lineage.declared import Declaration, declaration
from forensics.lineage.provenance import Origin, origins
from forensics.reconstruct import changes as changes_
from forensics.reconstruct.around import Around
from forensics.reconstruct.case import Case, WhatIf
from forensics.reconstruct.completeness import completeness
from forensics.reconstruct.config_values import config_values
from forensics.reconstruct.findings import findings
from forensics.reconstruct.named import named
from forensics.reconstruct.reconstruction import (
    Feature,
    Finding,
    Integrity,
    Reconstruction,
)
from forensics.reconstruct.redacted import erasure, redaction, said
from forensics.records.decision import Decision
from forensics.records.replay import Attribution, CounterfactualSearch, Replay
from forensics.records.score import contradiction
from forensics.records.times import DAY_US, to_micros

if TYPE_CHECKING:
    from forensics.replay.client import Workers
    from forensics.replay.session import Environment, ReplaySession

#: How many days before a decision tell what is usual, and how many changes are looked at.
USUAL_DAYS = 30
_CHANGES = 50


def trace(
    snapshot: Snapshot,
    identifier: str,
    *,
    replay: bool = True,
    counterfactuals: int = 1,
    workers: Workers | None = None,
    environment: Environment | None = None,
) -> list[Reconstruction]:
    """All decisions that ``identifier`` names, oldest first.

    Args:
        snapshot: the lake.
        identifier: a request id or a decision id. One request may have several decisions.
        replay: run the recorded artifacts again, recompute attributions, look for counterfactuals.
        counterfactuals: how many to show at most; none are looked for where 0.
        workers: model processes to use and to leave running.
        environment: gives the library of a recorded version, where models are to be run by that.

    Raises:
        NotFoundError: when no decision has that id.
    """
    located = snapshot.locate(identifier)
    found = named(snapshot, located, identifier)
    asked = _Question(
        snapshot,
        ArtifactStore(snapshot.root),
        identifier,
        located,
        replay,
        counterfactuals,
        workers,
        environment,
    )
    ids = [decision.decision_id for _, decision in found]
    return [
        _reconstruct(asked, kept, decision, twins=ids.count(decision.decision_id) - 1)
        for kept, decision in found
    ]


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked, of which lake."""

    snapshot: Snapshot
    artifacts: ArtifactStore
    identifier: str
    located: list[Location]
    replay: bool
    counterfactuals: int
    workers: Workers | None
    environment: Environment | None


def _reconstruct(asked: _Question, kept: Kept, decision: Decision, twins: int) -> Reconstruction:
    if not asked.replay:
        return _assemble(asked, kept, decision, twins, None)
    from forensics.replay.session import ReplaySession

    connection = asked.snapshot.connection
    with ReplaySession(
        decision,
        asked.artifacts,
        connection=connection,
        workers=asked.workers,
        environment=asked.environment,
    ) as session:
        if asked.counterfactuals:
            from forensics.explain.counterfactual import prepare_search

            prepare_search()  # while the model is loaded
        return _assemble(asked, kept, decision, twins, session)


def _assemble(
    asked: _Question,
    kept: Kept,
    decision: Decision,
    twins: int,
    session: ReplaySession | None,
) -> Reconstruction:
    snapshot, artifacts = asked.snapshot, asked.artifacts
    # What needs no model comes first: its process is loading meanwhile.
    later, made = _later_records(asked, decision)
    declared, unreadable = _declared(snapshot, decision)
    came_from = origins(snapshot, decision, declared)
    before, runs = changes_.with_runs(
        snapshot,
        decision.occurred_at,
        decision_point=decision.decision_point,
        environment=decision.environment,
        digests=[g["digest"] for g in (decision.model, decision.config) if g.get("digest")],
        jobs=_jobs(decision, came_from),
        limit=_CHANGES,
    )
    usual = _usual(snapshot, decision)
    rerun = (
        _Rerun(attribution=_recorded_attribution(decision))
        if session is None
        else _rerun(session, before, asked.counterfactuals)
    )
    override = later.get("overrides")
    case = Case(
        decision=decision,
        changes=tuple(before),
        usual=usual,
        override=override,
        overridden_to=made,
        config_values=lambda digest: config_values(artifacts, digest),
        what_if=rerun.what_if,
        altered=frozenset(artifacts.altered),
        twins=twins,
        declaration=declared,
        origins=came_from,
        runs=runs,
        replay=rerun.replay,
        around=Around(
            snapshot,
            decision,
            kinds=not ((declared and declared.steps) or decision.cache.get("hit")),
        ),
    )
    return Reconstruction(
        asked_for=asked.identifier,
        decision=decision,
        features=tuple(_features(decision, came_from, usual)),
        override=override,
        outcome_label=later.get("outcomes"),
        replay=rerun.replay,
        attribution=rerun.attribution,
        attribution_reason=rerun.no_attribution if rerun.attribution is None else None,
        counterfactuals=rerun.search.found if rerun.search is not None else (),
        changes=tuple(before),
        findings=(
            (gone,)
            if (gone := erasure(snapshot, decision)) is not None
            else (*unreadable, *_contradictions(decision, came_from), *findings(case))
        ),
        completeness=completeness(decision, rerun.replay, artifacts),
        integrity=_integrity(snapshot.root, kept),
        search=rerun.search,
        search_reason=rerun.no_search,
    )


class _Rerun(NamedTuple):
    """What running a decision again gave; the defaults are those of one that was not run."""

    replay: Replay | None = None
    attribution: Attribution | None = None
    #: Why there is no attribution, and no search, where there is none.
    no_attribution: str = "replay was not asked for"
    search: CounterfactualSearch | None = None
    no_search: str | None = None
    what_if: WhatIf | None = None


def _rerun(session: ReplaySession, before: list[changes_.Change], counterfactuals: int) -> _Rerun:
    from forensics.replay.replay import replay_session

    verdict = replay_session(session, model_names=_model_names(before))
    if session.decision.sealed.get("redacted"):
        verdict = said(verdict, session.decision)
    return _Rerun(
        verdict,
        *_attribution(session),
        *_counterfactuals(session, counterfactuals),
        _what_if(session) if not session.missing else None,
    )


def _later_records(
    asked: _Question, decision: Decision
) -> tuple[Mapping[str, dict[str, Any]], frozenset[str]]:
    """The newest override and outcome label of a decision, by table; what overrides before made."""
    snapshot, located = asked.snapshot, asked.located
    if not {"overrides", "outcomes"} & snapshot.tables.keys():
        return {}, frozenset()
    if decision.decision_id != asked.identifier:
        located = snapshot.locate(decision.decision_id)
    newest: dict[str, dict[str, Any]] = {}
    made: list[tuple[Any, str]] = []
    wanted = [location for location in located if location.table in ("overrides", "outcomes")]
    found = read.records(snapshot, wanted) if wanted else []
    mine = [one for one in found if str(one.record["decision_id"]) == decision.decision_id]
    seen.tell(snapshot.root, mine)
    for kept in mine:
        table, record = kept.location.table, kept.record
        if table == "overrides":
            made.append((_when(record), str(record.get("final_outcome"))))
        if table not in newest or _when(record) >= _when(newest[table]):
            redacted = kept.sealed.get("redacted")
            newest[table] = record | ({"redacted": redacted} if redacted else {})
    return newest, frozenset(outcome for _, outcome in sorted(made)[:-1])


def _when(record: Mapping[str, Any]) -> Any:
    return record["arrived_at"] if "arrived_at" in record else record["occurred_at"]


def _jobs(decision: Decision, came_from: Mapping[str, Origin]) -> set[str]:
    """The pipelines that fed a decision, as it names them or as its runs do."""
    named = {source["job"] for source in decision.feature_sources if source.get("job")}
    return named | {origin.run.job for origin in came_from.values() if origin.run is not None}


def _usual(snapshot: Snapshot, decision: Decision) -> dict[str, Usual]:
    day = to_micros(decision.occurred_at) // DAY_US
    return usual_of(snapshot, decision.decision_point, day - USUAL_DAYS, day - 1)


_UNPROVEN = {
    True: None,
    False: "the received bytes are not those of the leaf, or name another record than the columns",
    None: "another program wrote the record, without received bytes or leaf",
}


def _integrity(root: Path, kept: Kept) -> Integrity:
    segment, index, leaf = (kept.sealed[name] for name in ("segment", "leaf_index", "leaf"))
    verified, reason = kept.verified, _UNPROVEN[kept.verified]
    if unreadable := kept.sealed.get("unreadable"):
        reason = f"the received bytes cannot be read ({unreadable}); their leaf is in the log"
    if verified and segment and sealed.is_listed(root, segment, index, leaf) is False:
        verified, reason = False, "the leaf is not the one that was sealed in its place"
    return Integrity(segment, index, leaf, verified, reason)


def _declared(
    snapshot: Snapshot, decision: Decision
) -> tuple[Declaration | None, tuple[Finding, ...]]:
    """What the decision point declared; a damaged declaration is a finding and stops nothing."""
    try:
        return declaration(snapshot, decision.decision_point, decision.occurred_at), ()
    except IntegrityError as error:
        return None, (Finding("altered_declaration", "error", str(error), {}, "recomputed"),)


def _contradictions(decision: Decision, came_from: Mapping[str, Origin]) -> Iterator[Finding]:
    """Where the record contradicts itself, or the lineage events."""
    raw, score = decision.score_bytes, decision.score
    why = contradiction(score, raw, decision.score_dtype)
    if why is not None:
        yield Finding(
            "score_contradiction",
            "error",
            f"the recorded score contradicts itself: {why}",
            {"score": score, "bytes": raw and raw.hex(), "dtype": decision.score_dtype},
        )
    doubts: dict[tuple[str | None, str], list[str]] = {}
    for name, origin in came_from.items():
        if origin.doubt:
            doubts.setdefault((origin.run_id, origin.doubt), []).append(name)
    for (run_id, doubt), names in doubts.items():
        yield Finding(
            "impossible_run",
            "warning",
            f"run {(run_id or '')[:8]}, which the record names for {', '.join(names)}, cannot have "
            f"written what was served: {doubt}",
            {"run_id": run_id, "features": names},
            "inferred",
        )


def _features(
    decision: Decision, came_from: Mapping[str, Origin], usual: Mapping[str, Usual]
) -> list[Feature]:
    views = {
        name: source.get("view")
        for source in decision.feature_sources
        for name in source.get("features") or ()
    }
    found = []
    for name, type_ in decision.feature_types.items():
        if name not in decision.features:
            rule = redaction(decision, f"features.{name}")
            reason = rule or "the record does not have it"
            found.append(Feature(name, None, type_, "redacted" if rule else "missing", reason))
            continue
        origin = came_from.get(name)
        written = origin.event_time or origin.written_at if origin else None
        places = [place for place in (origin.dataset if origin else None, views.get(name)) if place]
        found.append(
            Feature(
                name=name,
                value=decision.features[name],
                type=type_,
                evidence="recorded",
                source=" ".join(map(str, places)) or None,
                age_s=(decision.occurred_at - written).total_seconds() if written else None,
                origin=origin,
                usual=usual.get(name),
            )
        )
    return found


def _recorded_attribution(decision: Decision) -> Attribution | None:
    if not decision.explanation.get("attributions"):
        return None
    from forensics.explain.attribution import recorded

    return recorded(decision)


def _counterfactuals(
    session: ReplaySession, limit: int
) -> tuple[CounterfactualSearch | None, str | None]:
    from forensics.explain.counterfactual import search_changes

    try:
        return search_changes(session, limit)
    except UsageError as error:  # what was declared contradicts itself; all else can be told
        return None, str(error)


def _attribution(session: ReplaySession) -> tuple[Attribution | None, str]:
    from forensics.explain.attribution import attribution

    try:
        return attribution(session), ""
    except ForensicsError as error:
        return None, str(error)


def _model_names(before: list[changes_.Change]) -> dict[str, str]:
    """How people call the models that changes announced, by digest."""
    names: dict[str, str] = {}
    for change in before:
        for digest, version in (
            (change.to_digest, change.to_version),
            (change.from_digest, change.from_version),
        ):
            if digest and version:
                names.setdefault(digest, f"{change.component} {version}")
    return names


def _what_if(session: ReplaySession) -> WhatIf:
    def ask(features: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, float | None]:
        if values:
            return str(session.with_values(values).outcome), session.score
        decided = session.decide({name: [float(v)] for name, v in features.items()}, 1)
        return str(decided.outcomes[0]), decided.scores[0]

    return ask
