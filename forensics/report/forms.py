"""The forms that a report can have."""

from __future__ import annotations

from typing import Literal

from forensics.report.blocks import Paged

Form = Literal["md", "html", "pdf"]


def written(report: Paged, form: Form) -> bytes:
    """A report in some form.

    Raises:
        DependencyError: when a PDF is wanted and typst is not installed.
        LakeError: when typst cannot set it.
    """
    if form == "pdf":
        from forensics.report.pdf_typst import pdf

        return pdf(report)
    if form == "html":
        from forensics.report.html_page import page

        return page(report).encode()
    from forensics.report.markdown_text import markdown

    return markdown(report).encode()
