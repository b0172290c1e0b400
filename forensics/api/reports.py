"""Documents for people: postmortems and compliance reports, with the evidence they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.api.decisions import Decisions
from forensics.api.times import instant, instants
from forensics.api.windows import Windows
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.explain.explanation import Options
    from forensics.incident.files import Postmortem
    from forensics.reconstruct.audit_answer import Audit
    from forensics.report.bundle import Bundle
    from forensics.report.document import Document
    from forensics.report.postmortem import Report


class Reports(Decisions, Windows):
    """Documents for people, made of the answers to questions."""

    def new_postmortem(
        self,
        since: datetime | str,
        until: datetime | str,
        *,
        decision_point: str | None = None,
        title: str | None = None,
        path: str | PathLike[str] | None = None,
        folder: str | PathLike[str] | None = None,
    ) -> Postmortem:
        """Write a new postmortem of a window, with what can be counted as pins.

        Args:
            since: when the incident began.
            until: when it was over.
            decision_point: whose decisions; may be left out where there is one.
            title: what it is called; else what moved.
            path: of the file, which must not be there; else one in ``folder``.
            folder: of the lake's postmortems; beside the lake where None.

        Raises:
            NotFoundError: when the window holds no decision.
            UsageError: when the window is none, or the file is there already.
        """
        from forensics.incident import files
        from forensics.incident.template import template

        start, end = instant(since), instant(until)
        made = template(self.snapshot(), start, end, decision_point, title=title)
        where = files.folder(self.root, None if folder is None else Path(folder))
        name = f"{start:%Y-%m-%d-%H%M}-{made.front['decision_point']}"
        target = files.new_path(where, name) if path is None else Path(path)
        return files.Postmortem(target, made, None).save()

    def postmortem(
        self,
        file: Postmortem | str | PathLike[str],
        *,
        tell: Callable[[int], None] | None = None,
        now: datetime | None = None,
    ) -> Report:
        """A postmortem with every pinned statement asked again.

        Args:
            file: its file, read or not.
            tell: told how many statements are behind us.
            now: when it is asked; the present time where None.

        Raises:
            NotFoundError: when there is no such file.
            UsageError: when it is of another lake.
        """
        from forensics.incident import files
        from forensics.report.postmortem import report

        read = file if isinstance(file, files.Postmortem) else files.read(Path(file))
        files.check_lake(read, self.root)
        at = now or datetime.now(UTC)
        return report(read.path.name, read.document, self.snapshot(), at, tell)

    def subject_report(
        self,
        subject: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        days: int | None = None,
        everything: bool = False,
        audit: bool = False,
        counts: Iterable[str | PathLike[str]] = (),
        templates: str | PathLike[str] | None = None,
        reference: str | None = None,
        adverse: Iterable[str] = (),
        progress: Callable[[int, int], None] | None = None,
        now: datetime | None = None,
    ) -> Document:
        """Everything about a person in a window, as a document for that person.

        Args:
            subject: the person's id.
            since: from this time on.
            until: before this time; the end of the last decision's day where None.
            days: so many days before the end, where ``since`` is None.
            everything: run all decisions again and explain them, not only the newest.
            audit: say whether decisions of the window are missing, which reads all of it.
            counts: files of what somebody else counted, for the audit.
            templates: a ``reasons.toml``, for the principal reasons of adverse outcomes.
            reference: the population that they are relative to; else the one that it names.
            adverse: the adverse outcomes; else those that it names.
            progress: told how many decisions are behind us, and of how many.
            now: when it is made; the present time where None.

        Raises:
            NotFoundError: when there is no decision about the person in the window.
            UsageError: when the window is none, or templates or reference do not fit.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.records.looker import looking
        from forensics.report.decision_words import options_of_reasons
        from forensics.report.subject import EXPLAINED, document, gather

        start, end = instants(since, until)
        wanted = self._reasons(templates, reference, tuple(adverse))
        snapshot = self.snapshot()
        snapshot.connect_ahead()
        with looking(how="report"):
            found = gather(
                snapshot,
                subject,
                start,
                end,
                days=days,
                most=None if everything else EXPLAINED,
                wanted=wanted if wanted.adverse or wanted.templates.adverse else None,
                options=options_of_reasons(templates, reference, tuple(adverse)),
                workers=self.workers(),
                tell=progress,
            )
        coverage = None
        if audit or counts:
            coverage = self.audit(since=found.since, until=found.until, counts=counts)
        return document(found, coverage, now or datetime.now(UTC))

    def decision_report(
        self, identifier: str, *, counterfactuals: int = 1, now: datetime | None = None
    ) -> Document:
        """The decisions that a request id or decision id names, in full, as a document.

        Raises:
            NotFoundError: when there is none; it names the nearest ids.
        """
        from forensics.records.looker import looking
        from forensics.report.decision_report import document

        with looking(how="report"):
            found = self.trace(identifier, counterfactuals=counterfactuals)
        return document(found, now or datetime.now(UTC), counterfactuals=counterfactuals)

    def adverse_action(
        self,
        identifier: str,
        *,
        templates: str | PathLike[str] | None = None,
        reference: str | None = None,
        adverse: Iterable[str] = (),
        now: datetime | None = None,
    ) -> Document:
        """The notice of an adverse decision, with its principal reasons.

        Args:
            identifier: a request id or decision id, of one decision.
            templates: a ``reasons.toml`` with the lender's words.
            reference: the population that reasons are relative to; else the one that it names.
            adverse: the adverse outcomes; else those that it names.
            now: when it is made; the present time where None.

        Raises:
            NotFoundError: when there is no such decision, artifact or file.
            UsageError: when the outcome is not adverse, nothing says which are, the id names
                several decisions, or templates or reference do not fit.
            ReplayError: when principal reasons cannot be had.
        """
        from forensics.reconstruct.explained import explained
        from forensics.records.looker import looking
        from forensics.report.adverse_action import document, one_of, refuse_erased
        from forensics.report.decision_words import options_of_reasons

        wanted = self._reasons(templates, reference, tuple(adverse))
        if not (wanted.adverse or wanted.templates.adverse):
            raise UsageError(
                "Nothing says which outcomes are adverse.",
                "A notice must not be written of one that is not.",
                'Say it: --adverse OUTCOME, or adverse = ["OUTCOME"] in the templates.',
            )
        with looking(how="report"):
            traced = self.trace(identifier, counterfactuals=0)
            for one in traced:
                refuse_erased(one)
            found = one_of(explained(self.snapshot(), identifier, wanted, workers=self.workers()))
        options = options_of_reasons(templates, reference, tuple(adverse))
        wrong = [
            finding.statement
            for one in traced
            if one.decision.decision_id == found.decision.decision_id
            for finding in one.findings
            if finding.severity == "error"
        ]
        return document(found, options, now or datetime.now(UTC), wrong)

    def audit_report(
        self, audit: Audit, options: Iterable[str] = (), *, now: datetime | None = None
    ) -> Document:
        """An audit as a document.

        Args:
            audit: the answer of :meth:`audit`.
            options: those of the command line that it was asked with, besides the window.
            now: when it is made; the present time where None.
        """
        from forensics.report.audit_report import document

        return document(audit, now or datetime.now(UTC), tuple(options))

    def bundle_of(self, report: Document, out: str | PathLike[str]) -> Bundle:
        """Write the evidence of a report's decisions to a zip, with the report in it.

        Args:
            report: of a person or of a decision.
            out: the zip; what is there is replaced.

        Raises:
            IntegrityError: when a record is not what was sealed: no bundle is made of it.
            LakeError: when the file cannot be written, or the look cannot be recorded.
        """
        from forensics.records.jsontext import dumps
        from forensics.records.looker import looking
        from forensics.report.bundle import bundle
        from forensics.report.forms import written

        forms = {
            "report.html": written(report, "html"),
            "report.json": f"{dumps(report.to_dict())}\n".encode(),
        }
        with looking(how="report"):
            return bundle(
                self.snapshot(),
                report.data["decision_ids"],
                Path(out),
                report=forms,
                made_at=report.made_at,
            )

    def _reasons(
        self,
        templates: str | PathLike[str] | None,
        reference: str | None,
        adverse: tuple[str, ...],
    ) -> Options:
        """How principal reasons are found; nothing else is looked for."""
        from forensics.explain.explanation import Options
        from forensics.explain.templates import NO_TEMPLATES
        from forensics.reconstruct.explained import reference_named, templates_at

        words = NO_TEMPLATES if templates is None else templates_at(Path(templates))
        named = reference or words.reference
        return Options(
            reasons=True,
            templates=words,
            reference=reference_named(named, self.root) if named else None,
            adverse=adverse,
            counterfactuals=0,
        )
