"""Writing a postmortem in the forms of ``forensics report postmortem``, every pin asked again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from forensics.errors import UsageError
from forensics.incident import files
from forensics.lake.snapshot import Snapshot
from forensics.report.postmortem import Report, report

#: The forms by their names in lists; the first is offered first.
FORMS = {"HTML": ".html", "Markdown": ".md", "PDF": ".pdf"}


def paths(path: Path) -> dict[str, Path]:
    """Where each form of a postmortem is written: in a folder of reports beside it."""
    folder = path.parent / "reports"
    return {name: folder / f"{path.stem}{ending}" for name, ending in FORMS.items()}


def export(
    snapshot: Snapshot, path: Path, form: str, target: Path, say: Callable[[str], bool]
) -> str:
    """Write one form, and answer what became of the pins, in one line.

    Args:
        snapshot: the lake.
        path: the postmortem's file.
        form: one of :data:`FORMS`.
        target: where to.
        say: is told how far it is, and answers whether to go on.

    Raises:
        ForensicsError: when the postmortem cannot be read, or the form not be written.
        Ended: when it is not to go on.
    """
    found = files.read(path)
    total = len(found.document.pins)

    def tell(done: int) -> None:
        if not say(f"asking the pins again: {done:,} of {total:,}"):
            raise Ended

    made = report(path.name, found.document, snapshot, datetime.now(UTC), tell)
    if not say(f"writing {target.name}"):
        raise Ended
    data = _rendered(made, form)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{target} cannot be written.", f"{error.strerror}.") from error
    return made.verdict


class Ended(Exception):
    """Nobody waits for the export any more."""


def _rendered(made: Report, form: str) -> bytes:
    if form == "PDF":
        from forensics.report.pdf_typst import pdf

        return pdf(made)
    if form == "HTML":
        from forensics.report.html_page import page

        return page(made).encode()
    from forensics.report.markdown_text import markdown

    return markdown(made).encode()
