"""Everything about one person in a window: what is found, and the document that they are given.

It is the form that Article 15 of the GDPR (access, with "meaningful information about the logic
involved") and Article 86 of the AI Act ("the role of the AI system in the decision-making procedure
and the main elements of the decision taken") ask for, as far as the evidence says it; what only the
controller knows is left for it to fill in.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from forensics.errors import ForensicsError, NotFoundError
from forensics.incident.questions import Question
from forensics.lake import find
from forensics.lake.accesses import Asked, accesses
from forensics.lake.counting import tally
from forensics.lake.snapshot import Snapshot
from forensics.lake.waiting_looks import waiting
from forensics.reconstruct.audit import window_of
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.reconstruct.trace import trace
from forensics.records.jsontext import time_text
from forensics.report import decision_evidence as evidence
from forensics.report import decision_parts as parts
from forensics.report import decision_words as words
from forensics.report.document import (
    Document,
    FillIn,
    Item,
    Note,
    Reference,
    Row,
    Rows,
    Section,
    Statement,
    joined,
)
from forensics.report.words import few

if TYPE_CHECKING:
    from forensics.explain.explanation import Explanation, Options
    from forensics.explain.reasons import Reason
    from forensics.reconstruct.audit_answer import Audit
    from forensics.replay.client import Workers

#: So many decisions, the newest, are run again and explained unless all are asked for.
EXPLAINED = 20
_LOOKS_MAX = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What a lake holds about a person in a window.

    ``decisions`` are newest first; the first ``explained`` of them were run again. ``reasons`` are
    explanations by decision id, of those whose outcome is adverse. ``looks`` pairs each look with
    whether it is sealed.
    """

    subject: str
    since: datetime
    until: datetime
    decisions: tuple[Reconstruction, ...]
    explained: int
    reasons: Mapping[str, Explanation | str]
    looks: tuple[tuple[Mapping[str, Any], bool], ...]
    held: tuple[Mapping[str, Any], ...]
    #: Whether principal reasons were looked for.
    reasoned: bool = False
    #: Those of ``forensics explain`` that they were asked with.
    options: tuple[str, ...] = ()
    #: Decisions about the person outside of the window.
    outside: int = 0


def gather(
    snapshot: Snapshot,
    subject: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    days: int | None = None,
    most: int | None = EXPLAINED,
    wanted: Options | None = None,
    options: Sequence[str] = (),
    workers: Workers | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Found:
    """Find a person's decisions in a window, and reconstruct each.

    Args:
        snapshot: the lake.
        subject: the person's id.
        since: from this time on.
        until: before this time; the end of the last decision's day where None.
        days: so many days before the end, where ``since`` is None.
        most: run so many again and explain them, the newest; all where None.
        wanted: how principal reasons are found, where some are wanted.
        options: those of ``forensics explain`` that say so.
        workers: model processes to use and to leave running.
        tell: told how many decisions are behind us, and of how many.

    Raises:
        NotFoundError: when there is none.
        UsageError: when the window is none, or templates or reference do not fit.
        IntegrityError: when a data file cannot be read.
    """
    begun = datetime.now(UTC)
    start, end = window_of(snapshot, snapshot.points(), since, until, days)
    query = find.Query(subject=subject, since=start, until=end)
    ids = list(dict.fromkeys(str(row["decision_id"]) for row in find.rows(snapshot, query)))
    if not ids:
        raise NotFoundError(
            f"No decision about {subject!r} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} "
            "UTC is in this lake.",
            "That none was made does not follow: forensics audit says how complete the lake is.",
            "Widen the window: --since T --until T, or --days N.",
        )
    looks = _looks(snapshot, ids, begun)
    most = len(ids) if most is None else most
    decisions: list[Reconstruction] = []
    reasons: dict[str, Explanation | str] = {}
    adverse = (wanted.adverse or wanted.templates.adverse) if wanted is not None else ()
    for number, one in enumerate(ids):
        found = trace(snapshot, one, replay=number < most, workers=workers)
        decisions += [each for each in found if each.decision.decision_id == one]
        if wanted is not None and number < most and decisions[-1].decision.outcome in adverse:
            reasons[one] = _reasons(snapshot, one, wanted, workers)
        if tell is not None:
            tell(number + 1, len(ids))
    return Found(
        subject, start, end, tuple(decisions), min(most, len(decisions)), reasons, looks,
        _held(snapshot, subject), wanted is not None, tuple(options),
        outside=tally(snapshot, find.Query(subject=subject)).decisions - len(ids),
    )  # fmt: skip


def _reasons(
    snapshot: Snapshot, decision_id: str, wanted: Options, workers: Workers | None
) -> Explanation | str:
    from forensics.reconstruct.explained import explained

    try:
        return explained(snapshot, decision_id, wanted, workers=workers)[0]
    except ForensicsError as error:  # the decision's own; all else can still be said of it
        return str(error)


def _looks(
    snapshot: Snapshot, ids: Sequence[str], begun: datetime
) -> tuple[tuple[Mapping[str, Any], bool], ...]:
    """Looks at these decisions before this one, newest first."""
    of = frozenset(ids)
    sealed = accesses(snapshot, Asked(decisions=of, limit=_LOOKS_MAX))
    found: list[tuple[Mapping[str, Any], bool]] = [(look, True) for look in sealed]
    known = {look["access_id"] for look, _ in found}
    found += [
        (look, False)
        for look in waiting(snapshot.root, of)
        if look["occurred_at"] < begun and look.get("access_id") not in known
    ]
    found.sort(key=lambda one: one[0]["occurred_at"], reverse=True)
    return tuple(found[:_LOOKS_MAX])


def _held(snapshot: Snapshot, subject: str) -> tuple[Mapping[str, Any], ...]:
    if not snapshot.paths("holds"):
        return ()
    from forensics.lake.erase import holds
    from forensics.lake.subject_keys import key_store

    return tuple(holds(snapshot, key_store(snapshot.root).token(subject)))


def document(found: Found, audit: Audit | None, now: datetime) -> Document:
    """What a person is given.

    Args:
        found: what the lake holds about them.
        audit: of the same window, where one was made.
        now: when it is made.
    """
    gaps = [
        f"{words.title(one)} ({one.decision.decision_id}): {why}"
        for one in found.decisions
        for why in evidence.gaps(one)
    ]
    if audit is not None and audit.coverage == "contradicted":
        gaps.append("decisions are missing from the lake in this window")
    number = len(found.decisions)
    several = f"{number:,} automated decision{'s' if number > 1 else ''}"
    verdict = f"{several} about {found.subject} {'are' if number > 1 else 'is'} recorded"
    wrong = sum(any(f.severity == "error" for f in one.findings) for one in found.decisions)
    odd = f"; in {wrong:,} of them something went wrong" if wrong else ""
    gone = sum(evidence.erasure(one) is not None for one in found.decisions)
    odd += f"; what {gone:,} of them said was erased" if gone else ""
    note = (
        f"The evidence answers all that was asked of it{odd}" if not gaps
        else f"The evidence is incomplete: {few(gaps)}{odd}"
    )  # fmt: skip
    sections = [
        Section("What this report covers", tuple(_coverage(found, audit))),
        *(
            _decision(each, at + 1, found, explained=at < found.explained)
            for at, each in enumerate(found.decisions)
        ),
        Section("What the controller adds", tuple(_fill_in())),
        Section("Who looked at these decisions", tuple(_looked(found))),
    ]
    window = f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC, end not included"
    return Document(
        kind="subject",
        title=f"Automated decisions about {found.subject}",
        facts=(("person", found.subject), ("window", window), ("made", words.moment(now))),
        verdict=verdict,
        note=note,
        sections=tuple(sections),
        made_at=now,
        gaps=tuple(gaps),
        sound=not wrong,
        data={
            "subject": found.subject,
            "since": found.since,
            "until": found.until,
            "decisions": number,
            "decision_ids": list(
                dict.fromkeys(one.decision.decision_id for one in found.decisions)
            ),
            "explained": found.explained,
            "erased": sum(evidence.erasure(one) is not None for one in found.decisions),
            "coverage": None if audit is None else audit.coverage,
        },
    )


def _coverage(found: Found, audit: Audit | None) -> Iterator[Item]:
    window = {"subject": found.subject, "since": time_text(found.since),
              "until": time_text(found.until)}  # fmt: skip
    counted = Reference(Question("find", {**window, "count": True}).line(as_json=True))
    outcomes = Counter(one.decision.outcome for one in found.decisions)
    said = joined([f"{count:,} × {name}" for name, count in outcomes.most_common()])
    yield Statement(
        "decisions",
        f"{len(found.decisions):,} decisions about {found.subject} were found: {said}.",
        "recorded",
        counted.at("/decisions"),
        value=len(found.decisions),
    )
    if found.outside:
        everything = Reference(
            Question("find", {"subject": found.subject, "count": True}).line(as_json=True)
        )
        yield Statement(
            "outside",
            f"{found.outside:,} more decisions about {found.subject} lie outside of this window.",
            "recorded",
            everything.at("/decisions"),
            value=found.outside,
        )
    yield _completeness(found, audit)
    erased = [one for one in found.decisions if evidence.erasure(one) is not None]
    if erased:
        yield Statement(
            "erased",
            f"{len(erased):,} of them were erased: that they were made is still known, and little "
            "of what they said.",
            "recorded",
            counted.at("/decisions"),
            value=len(erased),
        )
    else:
        yield Statement(
            "erased", "None of them was erased.", "recorded", counted.at("/decisions"), value=0
        )
    rules: dict[str, set[str]] = {}
    for one in found.decisions:
        for path, rule in (one.decision.sealed.get("redacted") or {}).items():
            if path != "*":
                rules.setdefault(rule, set()).add(path)
    for rule, paths in sorted(rules.items()):
        yield Statement(
            "withheld", f"Withheld throughout this report: {joined(sorted(paths))}.",
            "redacted", Reference(), rule, value=sorted(paths),
        )  # fmt: skip
    for held in found.held:
        yield Statement(
            "hold",
            f"Erasure is blocked by a hold on the order {held['order']}, since "
            f"{str(held['occurred_at'])[:16]}.",
            "recorded",
            Reference(),
            value=held["hold_id"],
        )
    for number, one in enumerate(found.decisions, 1):
        wrong = [finding for finding in one.findings if finding.severity == "error"]
        if wrong:
            several_ = "something" if len(wrong) == 1 else f"{len(wrong)} things"
            yield Statement(
                "wrong",
                f"In decision {number} {several_} went wrong: see “How sure this is” there.",
                wrong[0].evidence,
                words.reference(one).at("/findings"),
                value=[finding.kind for finding in wrong],
                strong=True,
            )
    if not found.reasoned:
        yield Statement(
            "principal_reasons", "Principal reasons of adverse outcomes were not drawn up.",
            "missing", Reference(), "nothing said which outcomes are adverse; --adverse does",
        )  # fmt: skip
    rest = len(found.decisions) - found.explained
    if rest > 0:
        yield Statement(
            "explained",
            f"The newest {found.explained:,} were run again and explained; of the other {rest:,} "
            "only what was recorded is given.",
            "missing",
            Reference(),
            "they were not run again for this report; --all does so",
            value=found.explained,
        )
    yield Note(
        "Names of data are the system's own, written with spaces. Numbers are in the system's own "
        "units."
    )


def _completeness(found: Found, audit: Audit | None) -> Statement:
    """Whether any decision may be missing."""
    asked = ["forensics", "audit", "--since", time_text(found.since), "--until",
             time_text(found.until), "--json"]  # fmt: skip
    ref = Reference(shlex.join(asked), "/coverage")
    if audit is None:
        return Statement(
            "coverage",
            "Whether decisions about this person are missing from the records was not examined.",
            "missing",
            ref,
            "no audit of the window was made for this report; --audit makes one",
        )
    text = {
        "proven": "No decision of this window is missing: independent counts of all of it agree "
        "with the records.",
        "contradicted": "Some decisions of this window are missing from the records, and some of "
        f"them may be about this person ({audit.missing:,} by the writers' numbers).",
        "assumed": "Nothing says that a decision of this window is missing, and no independent "
        "count proves that none is.",
    }[audit.coverage]
    evidence = "inferred" if audit.coverage == "assumed" else "recomputed"
    return Statement("coverage", text, evidence, ref, value=audit.coverage)  # type: ignore[arg-type]


def _decision(one: Reconstruction, number: int, found: Found, *, explained: bool) -> Section:
    """One decision, for the person it is about."""
    ref = words.reference(one)
    head = f"{number}. {words.title(one)}"
    ids = Note(f"Decision {one.decision.decision_id}, request {one.decision.request_id}.")
    sure = [*evidence.reliability(one, ref), *evidence.retention(one, ref)]
    sections = [
        Section("What was decided", (*parts.decided(one, ref), *parts.decided_by(one, ref))),
    ]
    if evidence.erasure(one) is None:
        sections += [
            Section("What data was used", tuple(parts.data(one, ref))),
            Section("What counted most", tuple(parts.drove(one, ref))),
            Section("Reasons", tuple(_reasons_of(one, ref, found))),
            Section("What would have changed it", tuple(parts.would_have_changed(one, ref))),
            Section("Who received it, and why data was used", tuple(parts.passed_on(one, ref))),
        ]
    if not explained:
        ids = Note(f"{ids.text} It was not run again for this report.")
    sections.append(Section("How sure this is", tuple(sure)))
    kept = tuple(section for section in sections if section.items)
    return Section(head, (ids,), kept)


def _reasons_of(one: Reconstruction, ref: Reference, found: Found) -> Iterator[Item]:
    """The principal reasons of an adverse outcome, and what was given at the time."""
    yield from parts.given_reasons(one, ref)
    decision = one.decision
    answer = found.reasons.get(decision.decision_id)
    if answer is None:
        return
    source = words.explained(decision.decision_id, found.options, ref.leaf)
    if isinstance(answer, str) or answer.reasons is None:
        why = answer if isinstance(answer, str) else answer.reasons_reason
        yield Statement(
            "principal_reasons", "Principal reasons cannot be given.", "missing",
            source.at("/reasons_reason"), why,
        )  # fmt: skip
        return
    for number, reason in enumerate(answer.reasons.items):
        yield Statement(
            "principal_reason", f"Principal reason {number + 1}: {_words(reason)}", "recomputed",
            source.at(f"/reasons/items/{number}"), value=reason.code,
        )  # fmt: skip


def _words(reason: Reason) -> str:
    """A principal reason in the lender's words; where it has none, in the data's name."""
    if reason.template or not reason.features:
        return reason.text
    return joined([words.valued(name, reason.values.get(name)) for name in reason.features])


def _fill_in() -> Iterator[Item]:
    yield Note("The records do not say what follows. The controller writes it in.")
    yield FillIn("the controller's name and contact, and its data protection officer's")
    yield FillIn("who else receives the data, and whether it leaves the country")
    yield FillIn("how long the data is kept, or by what that is decided")
    yield FillIn(
        "how to ask for a person to look at a decision again, to contest it, and to have data "
        "corrected or erased"
    )
    yield FillIn("the supervisory authority to which one can complain")


def _looked(found: Found) -> Iterator[Item]:
    command = shlex.join(["forensics", "access", "--subject", found.subject, "--json"])
    ref = Reference(command)
    if not found.looks:
        yield Statement(
            "looks", "Nobody is recorded to have looked at them before this report.", "missing",
            ref, "no look is recorded",
        )  # fmt: skip
        return
    rows = []
    for look, is_sealed in found.looks:
        who = f"{look['actor']}{' (' + str(look['role']) + ')' if look.get('role') else ''}"
        what = joined([str(look[key]) for key in ("case", "reason") if look.get(key)])
        clear = ", personal data in the clear" if look.get("unmasked") else ""
        rows.append(
            Row(
                (f"{look['occurred_at']:%Y-%m-%d %H:%M:%S}", who, f"{look['how']}{clear}",
                 what or "not said"),
                "recorded",
                ref,
                None if is_sealed else "not yet sealed",
            )
        )  # fmt: skip
    yield Rows("looks", ("when", "who", "by what", "case and reason"), tuple(rows))
    if len(found.looks) == _LOOKS_MAX:
        yield Note(f"The newest {_LOOKS_MAX}; there may be more.")
