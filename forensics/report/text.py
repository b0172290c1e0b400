"""A reconstruction on one terminal screen: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Feature, Finding, Reconstruction
from forensics.records.plural import count_of
from forensics.report import pieces
from forensics.report.cells import cells, padded
from forensics.report.pieces import flowing, marked
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics.report.words import (
    age_words,
    named,
    number_words,
    short_digest,
    time_words,
    value_words,
)

_CHANGES_SHOWN = 4
_MARKS: dict[str, tuple[str, Style]] = {
    "error": ("✗", "bad"),
    "warning": ("!", "warn"),
    "info": ("·", "accent"),
}


def screen(reconstruction: Reconstruction, width: int = 100) -> list[Line]:
    """The trace as lines of at most ``width`` characters (40 at least)."""
    width = max(width, 40)
    sections = [
        list(_head(reconstruction, width)),
        list(_answer(reconstruction, width)),
        list(_changes(reconstruction)),
        list(_why(reconstruction, width)),
        list(_what_if(reconstruction, width)),
        list(_steps(reconstruction, width)),
        list(_evidence(reconstruction, width)),
    ]
    lines: list[Line] = []
    for section in sections:
        if section:
            lines += [[], *section] if lines else section
    return [fitted(line, width) for line in lines]


def features(reconstruction: Reconstruction, width: int = 100) -> list[Line]:
    """Every feature with its value and what was usual, by where it came from."""
    groups: dict[str, list[Feature]] = {}
    for item in reconstruction.features:
        groups.setdefault(_came_from(item), []).append(item)
    lines: list[Line] = []
    for origin, items in groups.items():
        lines += [[]] * bool(lines)
        lines += [[span(text, "bold")] for text in wrapped(origin, width)]
        rows: list[tuple[str, ...]] = [("feature", "value", "usual", "type", "evidence")]
        for item in items:
            rows.append(
                (
                    item.name,
                    value_words(item.value) if item.evidence == "recorded" else "—",
                    _usual(item),
                    item.type,
                    "; ".join((item.evidence, *_remarks(item))),
                )
            )
        lines += table(rows, width)
    return lines


def _came_from(item: Feature) -> str:
    """Where a feature came from: dataset, status and age, and the run that wrote it."""
    facts = [item.source or "no source recorded"]
    origin = item.origin
    if origin is not None:
        if origin.status:
            facts.append(origin.status)
        if item.age_s is not None:
            facts.append(f"{age_words(item.age_s)} old")
        run = origin.run
        writer = " ".join(
            part
            for part in (origin.job, f"run {origin.run_id[:8]}" if origin.run_id else "")
            if part
        )
        if writer:
            facts.append(f"written by {writer}, {origin.evidence}")
        if run is not None:
            before = origin.previous
            code = run.code_version or ""
            if before is not None and before.code_version and before.code_version != code:
                code = f"{before.code_version} → {code}"
            facts += [f"code {code}"] if code else []
            if run.parent is not None and run.parent.run_id:
                facts.append(f"part of {run.parent.job_name} run {run.parent.run_id[:8]}")
            facts += [f"{run.state} {time_words(run.ended_at)}"] if run.ended_at else []
            failed = [test.assertion for test in origin.tests if not test.success]
            if origin.tests:
                tests = count_of(len(origin.tests), "test")
                facts.append(
                    f"{len(failed)} of {tests} failed: {', '.join(failed)}"
                    if failed
                    else f"{tests} passed"
                )
        elif origin.reason:
            facts.append(origin.reason)
    return " · ".join(facts)


def _usual(item: Feature) -> str:
    """The median of the days before, and how far most values reach; marked where it is outside."""
    usual = item.usual
    if usual is None or isinstance(item.value, bool) or not isinstance(item.value, int | float):
        return ""
    outside = "" if usual.q01 <= item.value <= usual.q99 else " !"
    low, high = number_words(usual.q01), number_words(usual.q99)
    return f"{number_words(usual.median)} ({low} to {high}){outside}"


def _remarks(item: Feature) -> Iterator[str]:
    if item.reason:
        yield item.reason
    looked = item.origin.history if item.origin is not None else None
    if looked is not None and looked.reason:
        yield f"no history: {looked.reason}"
    elif looked is not None:
        agrees = "as served" if looked.agrees else f"was {value_words(looked.value)} then"
        yield f"by its history {agrees}"


def table(rows: list[tuple[str, ...]], width: int) -> list[Line]:
    """Rows of text as aligned columns under a head; numbers stand to the right."""
    safe = [[span(cell, limit=60).text for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(*safe, strict=True)]
    right = [
        all(_is_number(row[at]) for row in safe[1:] if row[at]) and len(safe) > 1
        for at in range(len(widths))
    ]
    lines: list[Line] = []
    for number, row in enumerate(safe):
        laid = [
            padded(cell, size, right=flush)
            for cell, size, flush in zip(row, widths, right, strict=True)
        ]
        lines.append(fitted([Span("  ".join(laid).rstrip(), "" if number else "dim")], width))
    return lines


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "", 1).lstrip("-").isdigit()


def _head(r: Reconstruction, width: int) -> Iterator[Line]:
    decision = r.decision
    style: Style = "bold"
    facts = [decision.decision_point, f"request {decision.request_id}"]
    if decision.decision_id not in (decision.request_id, ""):
        facts.append(f"decision {decision.decision_id}")
    facts.append(time_words(decision.occurred_at))
    if decision.subject.get("id"):
        facts.append(f"subject {decision.subject['id']}")
    yield from flowing([span(decision.outcome, style), Span("   ")], facts, width)
    facts = []
    if decision.score is not None:
        score = float(decision.score)
        text = f"score {number_words(score)}"
        if decision.threshold is not None:
            sign = "≥" if score >= float(decision.threshold) else "<"
            text += f" {sign} threshold {number_words(float(decision.threshold))}"
        facts.append(text)
    model = named(decision.model, "name", "version")
    facts.append(f"model {model}" if model else "no model recorded")
    if decision.config:
        revision = decision.config.get("revision")
        facts.append(f"config {revision or short_digest(decision.config.get('digest'))}")
    facts.append(decision.environment)
    yield from flowing([], facts, width)
    if r.override:
        who, why = (_said(r.override, name) for name in ("actor", "reason"))
        yield [
            Span("overridden ", "warn"),
            span(f"to {r.override.get('final_outcome')} by {who or 'nobody named'}", "bold"),
            span(f" at {time_words(r.override['occurred_at'])}"),
            span(f": {why}" if why else ""),
        ]
    if r.outcome_label:
        label, arrived = _said(r.outcome_label, "label"), r.outcome_label["arrived_at"]
        yield [Span("turned out ", "dim"), span(label), span(f" (known {arrived:%Y-%m-%d})", "dim")]


def _said(record: Mapping[str, Any], name: str) -> str | None:
    """A field of a record beside the decision, or by what rule it was taken out."""
    redacted = record.get("redacted") or {}
    rule = redacted.get(name) or redacted.get("*")
    if record.get(name) is None and rule:
        return f"redacted ({rule})"
    return str(record[name]) if record.get(name) is not None else None


def _answer(r: Reconstruction, width: int) -> Iterator[Line]:
    if r.integrity.verified is False:
        yield from marked("✗", "bad", f"not what was sealed: {r.integrity.reason}", width, "bad")
    yield from _deciding_rule(r, width)
    problems = [f for f in r.findings if f.severity in ("error", "warning")]
    for finding in problems:
        yield from _finding(finding, width)
    if r.replay is not None:
        yield from pieces.verdict(r.replay, width)
    for finding in (f for f in r.findings if f.severity == "info"):
        yield from _finding(finding, width)
    unknown: dict[str, list[str]] = {}
    for finding in (f for f in r.findings if f.severity == "not_checkable"):
        why = finding.statement.partition("not checkable, because ")[2]
        unknown.setdefault(why or finding.statement, []).append(finding.kind.replace("_", " "))
    if not problems and all(f.kind != "erased" for f in r.findings):
        text = "nothing odd was found" + (" in what can be checked" if unknown else "")
        yield [Span("  "), Span("✓ ", "good"), Span(text)]
    if unknown:
        whys = (f"{', '.join(kinds)}, because {why}" for why, kinds in unknown.items())
        yield from marked("?", "dim", f"not checkable: {'; '.join(whys)}", width, "dim")


def _deciding_rule(r: Reconstruction, width: int) -> Iterator[Line]:
    """Which rule decided, where one ran: the model's score may have played no part."""
    replayed = r.replay.replayed if r.replay is not None else {}
    rule, when = replayed.get("rule"), replayed.get("rule_when")
    if not rule or when is None or replayed.get("outcome") != r.decision.outcome:
        return
    reason = f" ({replayed['rule_reason']})" if replayed.get("rule_reason") else ""
    alone = "; the score played no part" if replayed.get("rule_scored") is False else ""
    yield from marked("·", "accent", f"decided by rule {rule}: {when}{reason}{alone}", width)


def _finding(finding: Finding, width: int) -> Iterator[Line]:
    mark, style = _MARKS[finding.severity]
    name = finding.kind.replace("_", " ")
    yield from marked(mark, style, f"{name}: {finding.statement}", width)
    mended = finding.detail.get("mended")
    if mended:
        score = f" (score {number_words(mended['score'])}, replayed)" if mended["score"] else ""
        text = f"with {number_words(mended['value'])} the outcome is {mended['outcome']}{score}"
        yield from marked("→", "accent", text, width)


def _changes(r: Reconstruction) -> Iterator[Line]:
    if not r.changes:
        return
    yield [Span("changed before this decision", "bold")]
    for change in r.changes[:_CHANGES_SHOWN]:
        age = age_words(r.decision.occurred_at - change.occurred_at)
        fed = [name for name in change.features if name in r.decision.features]
        feeds = f" · feeds {len(fed)} of its features" if fed else ""
        reason = f" · {change.reason}" if change.reason else ""
        yield [
            Span(f"  {age:>8}  ", "dim"),
            span(change.step),
            span(feeds, "warn"),
            span(reason, "dim"),
        ]
    rest = len(r.changes) - _CHANGES_SHOWN
    if rest > 0:
        yield [Span(f"            and {rest} earlier: forensics as-of, or --json", "dim")]


def _why(r: Reconstruction, width: int) -> Iterator[Line]:
    if r.attribution is not None:
        yield from pieces.attribution(r.attribution, r.decision.features, width)
    elif r.attribution_reason and r.replay is not None:
        yield [Span("why", "bold"), span(f" · missing: {r.attribution_reason}", "dim")]


def _what_if(r: Reconstruction, width: int) -> Iterator[Line]:
    agrees = r.replay is not None and r.replay.verdict in ("bit_exact", "within_ulp")
    if agrees or r.search is not None:
        yield from pieces.changes(r.search, r.search_reason, width)
    entry = str(r.decision.cache.get("model_digest") or "")
    live = str(r.decision.model.get("digest") or "")
    if r.search is not None and entry and live and entry != live:
        words = (
            f"by the live model {short_digest(live)}; the score that was acted on came from a "
            f"cache entry of {short_digest(entry)}"
        )
        yield from marked("·", "dim", words, width)


def _steps(r: Reconstruction, width: int) -> Iterator[Line]:
    steps = to_dict(r)["steps"]
    if not steps:
        return
    ends = [s["offset_ms"] + (s["duration_ms"] or 0) for s in steps if s["offset_ms"] is not None]
    total = max(ends, default=0.0)
    yield [Span("steps", "bold"), span(f" · {total:.1f} ms" if total else "", "dim")]
    names = max(len(span(_step_name(step), limit=24).text) for step in steps)
    room = min(30, max(0, width - names - 44))
    most = width - names - room - 6
    texts = max(len(span(_step_words(step), limit=most).text) for step in steps)
    for step in steps:
        yield [
            Span("  " + span(_step_name(step), limit=24).text.ljust(names) + "  "),
            Span(span(_step_words(step), limit=most).text.ljust(texts), "dim"),
            Span("  " + _track(step, total, room), "bad" if step["error"] else "accent"),
        ]


def _step_name(step: dict[str, Any]) -> str:
    return str(step["kind"] or step["id"] or "step")


def _step_words(step: dict[str, Any]) -> str:
    if step["error"]:
        return f"error: {step['error']}"
    outputs = step["outputs"]
    words = []
    component = " ".join(str(step[key]) for key in ("component", "version") if step[key])
    if component:
        words.append(component)
    if isinstance(outputs, dict):
        words += [value_words(value) for value in list(outputs.values())[:2]]
    return " · ".join(words)


def _track(step: dict[str, Any], total: float, room: int) -> str:
    if not total or room < 8 or step["offset_ms"] is None:
        return ""
    start = int(step["offset_ms"] / total * (room - 1))
    length = max(1, round((step["duration_ms"] or 0) / total * room))
    return " " * start + "█" * min(length, room - start)


def _evidence(r: Reconstruction, width: int) -> Iterator[Line]:
    by_reason: dict[str, list[str]] = {}
    for field, reason in r.completeness.missing:
        by_reason.setdefault(reason, []).append(field)
    missing = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
    words = f"class {r.completeness.class_}" if r.completeness.class_ != "none" else "below C0"
    text = f"{words} · missing: {missing}" if missing else words
    for number, part in enumerate(wrapped(span(text).text, width - 10)):
        yield [Span("evidence  " if number == 0 else " " * 10, "bold"), Span(part)]
    if r.decision.extra:
        names = ", ".join(list(r.decision.extra)[:6])
        text = f"outside the contract, kept as they are: {names} (see forensics ingest --map)"
        yield [Span(" " * 10), span(text, "dim")]
    integrity = r.integrity
    proof = f"segment {(integrity.segment or '—')[:8]}, leaf {integrity.leaf_index}"
    if integrity.verified is False:
        yield [
            Span("proof     ", "bold"),
            Span("✗ ", "bad"),
            span(f"{proof}: {integrity.reason}", "bad"),
        ]
    else:
        state = "received bytes match" if integrity.verified else "not checked"
        yield [Span("proof     ", "bold"), span(f"{proof}, {state}")]
    request = r.decision.request_id
    more = f"forensics trace {request} --features · forensics whatif {request} --find"
    yield [Span("more      ", "bold"), span(more, "dim")]
