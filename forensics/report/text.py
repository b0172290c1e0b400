"""A reconstruction on one terminal screen: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Finding, Reconstruction
from forensics.records.replay import Replay
from forensics.report.spans import Line, Span, Style, fitted, plain, span, wrapped
from forensics.report.words import (
    age_words,
    named,
    number_words,
    short_digest,
    time_words,
    value_words,
)

_INDENT = 4
_CHANGES_SHOWN = 4
_REASONS_SHOWN = 6
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MARKS: dict[str, tuple[str, Style]] = {
    "error": ("✗", "bad"),
    "warning": ("!", "warn"),
    "info": ("·", "accent"),
}
_VERDICTS: dict[str, tuple[str, Style]] = {
    "bit_exact": ("✓", "good"),
    "within_ulp": ("✓", "good"),
    "same_outcome": ("!", "warn"),
    "diverged": ("✗", "bad"),
    "not_replayable": ("?", "warn"),
}


def screen(reconstruction: Reconstruction, width: int = 100) -> list[Line]:
    """The trace as lines of at most ``width`` characters (40 at least)."""
    width = max(width, 40)
    sections = [
        list(_head(reconstruction, width)),
        list(_answer(reconstruction, width)),
        list(_changes(reconstruction, width)),
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
    """Every feature with its value, type, age, source and evidence."""
    rows: list[tuple[str, ...]] = [
        ("feature", "value", "type", "age", "status", "source", "evidence")
    ]
    for item in reconstruction.features:
        rows.append(
            (
                item.name,
                value_words(item.value) if item.evidence == "recorded" else "—",
                item.type,
                age_words(item.age_s) if item.age_s is not None else "",
                item.status or "",
                item.source or "",
                f"{item.evidence}: {item.reason}" if item.reason else item.evidence,
            )
        )
    return table(rows, width)


def table(rows: list[tuple[str, ...]], width: int) -> list[Line]:
    """Rows of text as aligned columns under a head; numbers stand to the right."""
    safe = [[span(cell, limit=60).text for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    right = [
        all(_is_number(row[at]) for row in safe[1:] if row[at]) and len(safe) > 1
        for at in range(len(widths))
    ]
    lines: list[Line] = []
    for number, row in enumerate(safe):
        cells = [
            cell.rjust(size) if flush else cell.ljust(size)
            for cell, size, flush in zip(row, widths, right, strict=True)
        ]
        lines.append(fitted([Span("  ".join(cells).rstrip(), "" if number else "dim")], width))
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
    yield from _flowing([span(decision.outcome, style), Span("   ")], facts, width)
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
    yield from _flowing([], facts, width)
    if r.override:
        yield [
            Span("overridden ", "warn"),
            span(f"to {r.override.get('final_outcome')} by {r.override.get('actor')}", "bold"),
            span(f" at {time_words(r.override['occurred_at'])}"),
            span(f": {r.override['reason']}" if r.override.get("reason") else ""),
        ]
    if r.outcome_label:
        label, arrived = r.outcome_label["label"], r.outcome_label["arrived_at"]
        yield [Span("turned out ", "dim"), span(label), span(f" (known {arrived:%Y-%m-%d})", "dim")]


def _flowing(line: Line, facts: list[str], width: int) -> Iterator[Line]:
    """Facts parted by dots, on as many lines as they need."""
    for number, fact in enumerate(facts):
        part = span(fact)
        separator = " · " if number else ""
        if line and number and len(plain(line)) + len(separator) + len(part.text) > width:
            yield line
            line, separator = [Span("   ")], ""
        line = [*line, Span(separator, "dim"), part]
    yield line


def _answer(r: Reconstruction, width: int) -> Iterator[Line]:
    if r.integrity.verified is False:
        yield from _marked("✗", "bad", f"not what was sealed: {r.integrity.reason}", width, "bad")
    yield from _deciding_rule(r, width)
    problems = [f for f in r.findings if f.severity in ("error", "warning")]
    for finding in problems:
        yield from _finding(finding, width)
    if r.replay is not None:
        yield from _replay(r.replay, width)
    for finding in (f for f in r.findings if f.severity == "info"):
        yield from _finding(finding, width)
    unknown = [f for f in r.findings if f.severity == "not_checkable"]
    if not problems:
        text = "nothing odd was found"
        yield [Span("  "), Span("✓ ", "good"), Span(text)]
    for finding in unknown:
        yield from _marked("?", "dim", finding.statement, width, "dim")


def _deciding_rule(r: Reconstruction, width: int) -> Iterator[Line]:
    """Which rule decided, where one ran: the model's score may have played no part."""
    replayed = r.replay.replayed if r.replay is not None else {}
    rule, when = replayed.get("rule"), replayed.get("rule_when")
    if not rule or when is None or replayed.get("outcome") != r.decision.outcome:
        return
    reason = f" ({replayed['rule_reason']})" if replayed.get("rule_reason") else ""
    alone = "" if "score" in when else "; the score played no part"
    yield from _marked("·", "accent", f"decided by rule {rule}: {when}{reason}{alone}", width)


def _finding(finding: Finding, width: int) -> Iterator[Line]:
    mark, style = _MARKS[finding.severity]
    name = finding.kind.replace("_", " ")
    yield from _marked(mark, style, f"{name}: {finding.statement}", width)
    mended = finding.detail.get("mended")
    if mended:
        score = f" (score {number_words(mended['score'])}, replayed)" if mended["score"] else ""
        text = f"with {number_words(mended['value'])} the outcome is {mended['outcome']}{score}"
        yield from _marked("→", "accent", text, width)


def _replay(replay: Replay, width: int) -> Iterator[Line]:
    mark, style = _VERDICTS[replay.verdict]
    runtime = replay.runtime_replayed or "no runtime"
    same = replay.runtime_recorded in (None, replay.runtime_replayed)
    under = (
        f"{runtime} as recorded" if same else f"{runtime}, recorded under {replay.runtime_recorded}"
    )
    words = {
        "bit_exact": f"bit exact: these artifacts on these inputs give these bytes ({under})",
        "within_ulp": f"within one unit in the last place of the score ({under})",
        "same_outcome": f"same outcome, another score ({under})",
        "diverged": f"diverged ({under})",
        "not_replayable": "not replayable",
    }
    yield from _marked(mark, style, f"replay: {words[replay.verdict]}", width)
    first = replay.first_divergence
    if first is not None:
        yield from _marked(" ", "", f"first at step {first.step}: {first.statement}", width)
    for missing in replay.missing:
        yield from _marked(" ", "", f"missing: {missing}", width)


def _marked(mark: str, style: Style, text: str, width: int, body: Style = "") -> Iterator[Line]:
    """A statement after its mark, on as many lines as it needs."""
    for number, part in enumerate(wrapped(span(text).text, width - _INDENT)):
        lead = Span(f"  {mark} ", style) if number == 0 else Span(" " * _INDENT)
        yield [lead, Span(part, body)]


def _changes(r: Reconstruction, width: int) -> Iterator[Line]:
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
    found = r.attribution
    if found is None:
        if r.attribution_reason and r.replay is not None:
            yield [Span("why", "bold"), span(f" · missing: {r.attribution_reason}", "dim")]
        return
    adds = ""
    if found.additivity_error is not None:
        adds = f", adds up within {found.additivity_error:.0e}"
    unit = found.unit.replace("_", "-")
    against = ""
    if found.threshold_value is not None and found.additivity_error is not None:
        total = found.base_value + sum(found.values.values())
        against = f" {total:+.2f} against the threshold's {found.threshold_value:+.2f}"
    yield [Span("why", "bold"), span(f" · {unit}{against} · {found.evidence}{adds}", "dim")]
    top = list(found.values.items())[:_REASONS_SHOWN]
    rest = list(found.values.values())[_REASONS_SHOWN:]
    largest = max((abs(value) for _, value in top), default=1.0) or 1.0
    names = max((len(span(name, limit=28).text) for name, _ in top), default=0)
    bar_width = min(28, max(0, width - names - 28))
    for name, value in top:
        recorded = r.decision.features.get(name)
        shown = value_words(recorded) if name in r.decision.features else ""
        yield _bar(name, shown, value, largest, names, bar_width)
    if rest:
        yield _bar(f"{len(rest)} more", "", sum(rest), largest, names, bar_width)


def _bar(name: str, shown: str, value: float, largest: float, names: int, width: int) -> Line:
    eighths = round(min(abs(value) / largest, 1.0) * width * 8)
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8].strip())
    if value < 0:  # told apart without colour too
        bar = "░" * round(eighths / 8)
    style: Style = "bad" if value > 0 else "good"
    label = span(name, limit=28).text.ljust(names)
    return [
        Span(f"  {label}  "),
        Span(span(shown, limit=10).text.rjust(10), "dim"),
        Span(f"  {value:+.2f} "),
        Span(bar, style),
    ]


def _what_if(r: Reconstruction, width: int) -> Iterator[Line]:
    if not r.counterfactuals:
        if r.replay is not None and r.replay.verdict in ("bit_exact", "within_ulp"):
            yield [Span("what would have changed it", "bold"), Span(" · nothing within the levers")]
        return
    yield [Span("what would have changed it", "bold"), Span(" · each replayed", "dim")]
    outcomes = max(len(span(item.outcome, limit=16).text) for item in r.counterfactuals)
    for item in r.counterfactuals:
        change = " and ".join(c.statement for c in item.changes)
        score = number_words(item.score) if item.score is not None else ""
        margin = outcomes + 14
        for number, part in enumerate(wrapped(span(change).text, max(width - margin, 20))):
            lead = f"  {span(item.outcome, limit=16).text:<{outcomes}}  {score:<8}  "
            yield [Span(lead if number == 0 else " " * margin), Span(part)]


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
    more = f"forensics trace {request} --features · forensics diff {request} OTHER"
    yield [Span("more      ", "bold"), span(more, "dim")]
