"""A verification for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forensics.integrity.manifest import iso
from forensics.records.plural import count_of
from forensics.report.spans import Line, Span, Style, span, wrapped

if TYPE_CHECKING:
    from forensics.lake.verify.bundle_check import Checked
    from forensics.lake.verify.defects import Findings
    from forensics.lake.verify.one import Proven
    from forensics.lake.verify.whole import Verified
    from forensics.report.bundle import Bundle

_WORDS = {
    "altered": "altered", "dropped": "dropped", "inserted": "inserted", "reordered": "reordered",
    "back_dated": "times contradict", "misread": "columns contradict bytes", "forged": "forged log",
    "rolled_back": "rolled back", "derived": "derived data",
}  # fmt: skip
_SHOWN = 30


def screen(verified: Verified, width: int) -> Iterator[Line]:
    """What was verified, what is wrong, and what cannot be proven."""
    found, told = verified.findings, verified.chain
    yield _verdict(found, "every sealed record is there and is what was sealed")
    yield []
    looked = f"{count_of(verified.records, 'record')} in {count_of(verified.files, 'file')}"
    looked += f", {count_of(verified.segments, 'segment')}"
    rate = f" · {verified.records / verified.seconds:,.0f} a second" if verified.seconds else ""
    yield [Span("looked at  ", "bold"), Span(looked + rate)]
    if verified.first_sealed is not None and verified.last_sealed is not None:
        when = f"{iso(verified.first_sealed)[:19]}Z to {iso(verified.last_sealed)[:19]}Z"
        yield [Span("sealed     ", "bold"), Span(f"{when}, {told.size:,} log entries")]
    if verified.late_records:
        late = f"{verified.late_records:,} records were sealed late: proof begins with their seal"
        yield [Span("           "), Span(late, "dim")]
    if verified.erased:
        gone = f"{verified.erased:,} records were erased on an order; their leaves are in the log"
        yield [Span("erased     ", "bold"), Span(gone)]
    names = ", ".join(key.hash for key in told.keys) or "none"
    word = "named by the lake itself: pass --key to trust another word"
    trust = word if told.on_its_own_word else "trusted from outside the lake"
    yield [Span("keys       ", "bold"), span(names), Span(f", {trust}", "dim")]
    beside = (
        f"{count_of(verified.artifacts, 'artifact')}, {verified.quarantined:,} quarantined records"
    )
    if verified.whole_lake:
        yield [Span("beside     ", "bold"), Span(f"{beside}, index and catalog")]
    for title, rows in (("gap", [_gap(g.statement, g.records) for g in found.gaps]),):
        for text in rows:
            yield from _marked("! ", "warn", f"{title}: {text}", width)
    if found.broken:
        yield []
    for defect in found.defects[:_SHOWN]:
        kind = _WORDS[defect.kind]
        yield from _marked("✗ ", "bad", f"{kind}: {defect.statement}", width)
    more = sum(found.counts.values()) - min(len(found.defects), _SHOWN)
    if more:
        counts = ", ".join(f"{count:,} {_WORDS[kind]}" for kind, count in found.counts.items())
        yield [Span(f"  and {more:,} more ({counts}); all that are listed: --json", "dim")]


def _verdict(found: Findings, whole: str) -> Line:
    """The first line: broken, incomplete, or ``whole``."""
    if found.broken:
        defects = count_of(sum(found.counts.values()), "defect")
        return [Span("✗ BROKEN", "bad"), Span(f"  {defects}")]
    if found.gaps:
        return [Span("! INCOMPLETE", "warn"), Span("  nothing is wrong, not everything is proven")]
    return [Span("✓ WHOLE", "good"), Span(f"  {whole}")]


def _gap(statement: str, records: int) -> str:
    return f"{statement} ({count_of(records, 'record')})" if records else statement


def _marked(mark: str, style: Style, text: str, width: int) -> Iterator[Line]:
    for number, part in enumerate(wrapped(span(text).text, max(width - 2, 40))):
        yield [Span(mark if number == 0 else "  ", style), Span(part)]


def one_screen(identifier: str, table: str, proven: Proven | None) -> Iterator[Line]:
    """What is proven of one record."""
    if proven is None:
        yield [Span("! NOT SEALED YET  ", "warn"), span(f"{identifier} ({table})")]
        return
    manifest = proven.listed.manifest
    yield [Span("✓ SEALED  ", "good"), span(f"{identifier} ({table})")]
    place = f"leaf {proven.leaf_index} of {manifest.records:,} in segment {manifest.segment}"
    late = " (late: proof begins there)" if manifest.late else ""
    yield [Span("record    ", "bold"), Span(place)]
    yield [Span("sealed    ", "bold"), Span(f"{iso(manifest.sealed)}{late}")]
    size = count_of(proven.checkpoint.size, "entry", "entries")
    size += f", root {proven.checkpoint.root.hex()[:16]}…"
    yield [Span("log       ", "bold"), span(f"{proven.checkpoint.origin}, {size}")]
    names = ", ".join(key.hash for key in proven.keys)
    word = " (named by the lake itself)" if proven.on_its_own_word else " (trusted)"
    yield [Span("key       ", "bold"), span(names + word)]


def written_screen(made: Bundle, width: int) -> Iterator[Line]:
    """What a bundle that was written holds, and what not."""
    said = made.manifest
    yield [
        Span("✓ WRITTEN  ", "good"),
        span(str(made.path)),
        Span(f"  {count_of(made.size, 'byte')}"),
    ]
    sealed = f"{_decisions(len(said.decisions))}, {len(said.records):,} sealed records"
    yield [Span("holds      ", "bold"), Span(f"{sealed}, {count_of(len(said.files), 'file')}")]
    yield [Span("digest     ", "bold"), Span(made.digest)]
    for left in said.left_out:
        yield from _marked("! ", "warn", f"left out: {left.what}: {left.detail}", width)
    yield [Span("CHECK.md in it says how to check it without this program", "dim")]


def bundle_screen(checked: Checked, width: int) -> Iterator[Line]:
    """What a bundle proves, what is wrong with it, and what it cannot prove."""
    found, said = checked.findings, checked.manifest
    yield _verdict(found, "every record in the bundle is what was sealed")
    yield []
    who = said.made_by.get("actor") or "nobody named"
    case = f", case {said.made_for['case']}" if said.made_for.get("case") else ""
    word = "  on the maker's word" if len(who + case) < 80 else ""
    yield [Span("bundle    ", "bold"), span(f"{said.made_at} by {who}{case}"), Span(word, "dim")]
    yield [Span("lake      ", "bold"), span(said.lake)]
    proven = f"{count_of(checked.proven, 'record')} proven, of {checked.leaves_only:,} more "
    proven += "the leaf alone"
    looked = (
        f"{_decisions(len(said.decisions))}, {proven}, {count_of(checked.artifacts, 'artifact')}"
    )
    yield [Span("holds     ", "bold"), Span(looked)]
    times = sorted(manifest.sealed for manifest in checked.sealed.values())
    if times and checked.checkpoint is not None:
        when = f"{iso(times[0])[:19]}Z to {iso(times[-1])[:19]}Z"
        yield [Span("sealed    ", "bold"), Span(f"{when}, {checked.checkpoint.size:,} log entries")]
    for one in checked.vouched:
        yield [
            Span("vouched   ", "bold"),
            span(f"{count_of(one.size, 'entry', 'entries')} by {one.by}"),
        ]
    names = ", ".join(key.hash for key in checked.keys) or "none"
    word = "named by the bundle itself: pass --key to trust another word"
    trust = word if checked.on_its_own_word else "trusted from outside the bundle"
    yield [Span("keys      ", "bold"), span(names), Span(f", {trust}", "dim")]
    for gap in found.gaps:
        yield from _marked("! ", "warn", f"gap: {_gap(gap.statement, gap.records)}", width)
    for defect in found.defects[:_SHOWN]:
        kind = _WORDS[defect.kind]
        yield from _marked("✗ ", "bad", f"{kind}: {defect.statement}", width)
    more = sum(found.counts.values()) - min(len(found.defects), _SHOWN)
    if more:
        yield [Span(f"  and {more:,} more; all that are listed: --json", "dim")]


def _decisions(count: int) -> str:
    return "1 decision" if count == 1 else f"{count:,} decisions"
