"""Each job as it was at a time: the run in force, its code, and what decisions were served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.changes.query import Account
from forensics.reconstruct.changes.runs import JobRun, LastRun
from forensics.reconstruct.state import Pipeline


def pipelines(
    known: Account,
    last: Iterable[LastRun],
    served: Mapping[str, tuple[str, ...]],
    time: datetime,
) -> Iterator[Pipeline]:
    """The jobs whose runs are known from lineage, and those that only decisions name.

    Args:
        known: of a decision point, with the runs that tell something.
        last: the last completed run of each job by ``time``.
        served: the runs that fed its last decisions, by job.
        time: when.
    """
    by_job: dict[str, list[JobRun]] = {}
    ended = (run.at(time) for run in known.runs)
    for run in sorted(filter(None, ended), key=lambda run: (run.ended_at, run.run_id)):
        by_job.setdefault(run.job, []).append(run)
    lasts = {run.job: run for run in last}
    for job, runs in by_job.items():
        yield _pipeline(known, job, runs, lasts.get(job), served.get(job, ()))
    for job, ids in served.items():
        if job not in by_job:
            yield Pipeline(job, None, None, None, None, None, None, None, None, ids, "decisions")


def _pipeline(
    known: Account,
    job: str,
    runs: list[JobRun],
    last: LastRun | None,
    served: tuple[str, ...],
) -> Pipeline:
    done = [run for run in runs if run.state == "COMPLETE"]
    after = [run for run in runs if last is None or run.ended_at > last.ended_at]
    first_failed = next((run for run in after if run.state != "COMPLETE"), None)
    code = next((run.code_version for run in reversed(done) if run.code_version), None)
    since = before = None
    for run in reversed(done):
        if run.code_version is not None and run.code_version != code:
            before = run
            break
        since = run
    return Pipeline(
        job=job,
        code_version=code,
        run_id=last.run_id if last else None,
        ended_at=last.ended_at if last else None,
        since=since.ended_at if since else None,
        replaced_version=before.code_version if before else None,
        announced=_announced(known, job, since) if since else None,
        failed=(first_failed.error or first_failed.state) if first_failed else None,
        failed_at=first_failed.ended_at if first_failed else None,
        served=served,
        source="lineage",
    )


def _announced(known: Account, job: str, run: JobRun) -> Change | None:
    """The change that announced the code that ``run`` was the first to have."""
    for change in known.matched.changes:  # newest first
        named = change.component in (run.name, job)
        if (
            change.source == "changes"
            and change.kind == "pipeline"
            and (change.run_id == run.run_id or (named and change.to_version == run.code_version))
            and change.occurred_at <= run.ended_at
        ):
            return change
    return None
