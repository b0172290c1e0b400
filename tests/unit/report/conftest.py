from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.incident.document import Document
from forensics.incident.pins import Pinnable, pin
from forensics.incident.questions import Question
from forensics.incident.template import template
from forensics.lake.snapshot import take
from forensics.report.blocks import Chart
from forensics.report.document import (
    Document as Document_,
)
from forensics.report.document import (
    FillIn,
    Note,
    Reference,
    Row,
    Rows,
    Section,
    Statement,
)
from forensics.report.postmortem import Report, report
from forensics.testing import change_record, decision_record

NOW = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
#: What a page, a Markdown reader or a typesetter could take for something else than text.
HOSTILE = (
    "<script>window.hurt=1</script>",
    "<img src=http://evil.example/x onerror=window.hurt=1>",
    "\"><svg onload=window.hurt=1>",
    "</title></style><iframe src='http://evil.example/'>",
    "[a](javascript:window.hurt=1) ![b](http://evil.example/y.png) <http://evil.example>",
    "http://evil.example www.evil.example me@evil.example",
    "&lt;b&gt; &#60;script&#62; `x` ``` ~~~ | a | b | **x** __y__ $$z$$ ~~q~~",
    "# no heading", "- no item", "1. no number", "+++", "> no quote", "```pin",
    "#import \"x.typ\"; #read(\"secret\") \\u{41} $ x $ #eval(\"1\") ]] [[ // * _ @ <label>",
    "\x1b[2J\x1b]52;c;cm0=\x07 \u202egnp.exe\u202c \u2028 \ufeff \x00",
    "=cmd|' /C calc'!A0", "]]>", "-->", "{{7*7}}", "${x}", "é 漢字 🏳️\u200d🌈 ﷽",
)  # fmt: skip
SINCE = datetime(2026, 10, 21, 2, 13, tzinfo=UTC)
UNTIL = datetime(2026, 10, 21, 5, 41, tzinfo=UTC)


@pytest.fixture
def hostile_document() -> Document_:
    """A document in which hostile text is everywhere that text can be."""
    sections = []
    for text in HOSTILE:
        ref = Reference(text, f"/{text}", text, text)
        items = (
            Statement("x", text, "recorded", ref, value=text, strong=True),
            Statement("y", text, "missing", ref.of(text), text),
            Rows("z", (text, "b"), (Row((text, text), "redacted", ref, text),)),
            Note(text),
            FillIn(text),
            Chart("<svg></svg>", ("x",)),
        )
        sections.append(Section(text, items, (Section(text, items),)))
    whole = " ".join(HOSTILE)
    return Document_("test", whole, ((whole, whole),), whole, whole, tuple(sections), NOW, (whole,))


@pytest.fixture(scope="session")
def incident(sample_lake: Path) -> Report:
    """The postmortem of the sample's incident, asked again."""
    made = template(take(sample_lake), SINCE, UNTIL, now=NOW)
    return report("x.md", made, take(sample_lake), NOW)


@pytest.fixture
def hostile(lake: Path, take_in: Callable[..., Any]) -> Report:
    """A postmortem in which every text of the records, and every statement, is hostile."""
    begin = datetime(2026, 10, 5, 12, tzinfo=UTC)
    times = [begin + timedelta(seconds=number) for number in range(len(HOSTILE) * 2)]
    records: list[dict[str, Any]] = [
        decision_record(
            decision_id=f"d{number}",
            request_id=f"r{number}",
            occurred_at=time.isoformat(),
            outcome=HOSTILE[number % len(HOSTILE)],
            features={"x": HOSTILE[number % len(HOSTILE)]},
            explanation={"method": "m", "base_value": 0.1, "unit": HOSTILE[0],
                         "attributions": dict.fromkeys(HOSTILE, 0.5)},
        )
        for number, time in enumerate(times)
    ]  # fmt: skip
    records += [
        change_record(occurred_at=time.isoformat(), component=text, reason=text, to_version=text)
        for text, time in zip(HOSTILE, times, strict=False)
    ]
    take_in(records)
    snapshot = take(lake)
    until = begin + timedelta(hours=1)
    made = template(snapshot, begin, until, now=NOW, title=" ".join(HOSTILE))
    for number, text in enumerate(HOSTILE):
        question = Question("find", {"subject": text, "count": True})
        note = pin(snapshot, Pinnable(question, "/decisions", text), text, now=NOW)
        made = made.with_pin(note)
        for pointer in ("/decision/outcome", "/attributions"):
            traced = Question("trace", {"id": f"r{number}", "no_replay": True})
            made = made.with_pin(pin(snapshot, Pinnable(traced, pointer, text), text, now=NOW))
    diff = Question("diff", {"ids": ("r0", "r1")})
    made = made.with_pin(pin(snapshot, Pinnable(diff, "/differences", "a diff"), now=NOW))
    return report("x.md", made, snapshot, NOW)


@pytest.fixture
def moved(lake: Path, take_in: Callable[..., Any]) -> Report:
    """A postmortem with a statement that holds, one that differs, one that is gone, one broken."""
    begin = datetime(2026, 10, 5, 12, tzinfo=UTC)
    take_in(
        decision_record(
            decision_id=f"d{number}", request_id=f"r{number}",
            occurred_at=(begin + timedelta(seconds=number)).isoformat(),
        )
        for number in range(3)
    )  # fmt: skip
    document = Document.of('+++\ntitle = "Moved"\n+++\n\n## Impact\n')
    for command, pointer, arguments in (
        ("trace", "/decision/outcome", {"id": "d0", "no_replay": True}),
        ("find", "/decisions", {"count": True}),
        ("trace", "/decision/outcome", {"id": "r1", "no_replay": True}),
    ):
        asked = Pinnable(Question(command, arguments), pointer, f"{command} {pointer}")
        document = document.with_pin(pin(take(lake), asked, now=NOW))
    document = Document.of(document.text + "\n```pin\nid = 1\n```\n")
    take_in([decision_record(request_id="r1", occurred_at=begin.isoformat())])
    return report("x.md", document, take(lake), NOW)
