"""A verification for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forensics.integrity.manifest import iso
from forensics.report.spans import Line, Span, span, wrapped

if TYPE_CHECKING:
    from forensics.lake.verify.one import Proven
    from forensics.lake.verify.whole import Verified

_WORDS = {
    "altered": "altered", "dropped": "dropped", "inserted": "inserted", "reordered": "reordered",
    "back_dated": "times contradict", "misread": "columns contradict bytes", "forged": "forged log",
    "rolled_back": "rolled back", "derived": "derived data",
}  # fmt: skip
_SHOWN = 30


def screen(verified: Verified, width: int) -> Iterator[Line]:
    """What was verified, what is wrong, and what cannot be proven."""
    found, told = verified.findings, verified.chain
    if found.broken:
        total = sum(found.counts.values())
        yield [Span("✗ BROKEN", "bad"), Span(f"  {total:,} defects")]
    elif found.gaps:
        yield [Span("! INCOMPLETE", "warn"), Span("  nothing is wrong, not everything is proven")]
    else:
        yield [
            Span("✓ WHOLE", "good"),
            Span("  every sealed record is there and is what was sealed"),
        ]
    yield []
    looked = (
        f"{verified.records:,} records in {verified.files:,} files, {verified.segments:,} segments"
    )
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
    beside = f"{verified.artifacts:,} artifacts, {verified.quarantined:,} quarantined records"
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


def _gap(statement: str, records: int) -> str:
    return f"{statement} ({records:,} records)" if records else statement


def _marked(mark: str, style: str, text: str, width: int) -> Iterator[Line]:
    for number, part in enumerate(wrapped(span(text).text, max(width - 2, 40))):
        yield [Span(mark if number == 0 else "  ", style), Span(part)]  # type: ignore[arg-type]


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
    size = f"{proven.checkpoint.size:,} entries, root {proven.checkpoint.root.hex()[:16]}…"
    yield [Span("log       ", "bold"), span(f"{proven.checkpoint.origin}, {size}")]
    names = ", ".join(key.hash for key in proven.keys)
    word = " (named by the lake itself)" if proven.on_its_own_word else " (trusted)"
    yield [Span("key       ", "bold"), span(names + word)]
