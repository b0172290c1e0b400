"""OpenLineage events of the pipelines, written by the OpenLineage client's own file transport.

Each run leaves a START and a COMPLETE (or FAIL) event in ``lineage/<job>.jsonl``. Times and run ids
come from the schedule, so that the files are the same on every build.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    data_quality_metrics_dataset,
    data_quality_metrics_input_dataset,
    dataset_version_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    processing_engine_run,
    schema_dataset,
    set_producer,
    source_code_location_job,
    sql_job,
    tags_run,
)
from openlineage.client.transport.file import FileConfig, FileTransport

from . import plan, views
from .ids import run_uuid, sha256
from .models import RUNTIME_VERSION, Model
from .views import DATASETS, JOBS, VIEWS

_InputMetrics = data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet
_OutputStatistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet

PRODUCER = "https://example.org/credit_platform/scheduler/2.4.0"
REPOSITORY = "https://git.example.org/credit_platform.git"
_INPUTS = {
    "bureau_features": ("raw.accounts", "raw.repayment_status", "raw.status_updates"),
    "billing_features": ("raw.accounts", "raw.statements", "raw.postings"),
}
#: The column that says when a row of a growing table came in, and a column worth watching in each.
_GROWING = {"raw.postings": "posted_at", "raw.status_updates": "reported_at"}
_WATCHED = {
    "raw.accounts": "limit_balance",
    "raw.statements": "bill_1",
    "raw.repayment_status": "status_1",
    "raw.postings": "amount",
    "raw.status_updates": "status",
}
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class LineageEmitter:
    """Emits what each pipeline run read and wrote."""

    def __init__(self, folder: Path, con: duckdb.DuckDBPyConnection, seed: int) -> None:
        set_producer(PRODUCER)
        self._folder = folder
        self._con = con
        self._seed = seed
        self._clients: dict[str, OpenLineageClient] = {}
        self._still: dict[str, data_quality_metrics_input_dataset.ColumnMetrics] = {}
        self._rows: dict[str, int] = {}
        self._schemas = {
            table: _schema(con, table) for tables in _INPUTS.values() for table in tables
        }

    def run(self, run: views.Run, columns: dict[str, NDArray[np.float64]] | None) -> None:
        """The events of one run; ``columns`` is what it wrote, None where it failed."""
        job = _job(run.view, run.code)
        facets: dict[str, Any] = {
            "nominalTime": nominal_time_run.NominalTimeRunFacet(plan.iso(run.as_of)),
            "processing_engine": _engine("DuckDB", duckdb.__version__),
            "tags": tags_run.TagsRunFacet(
                [
                    tags_run.TagsRunFacetFields("run_number", str(run.number), "scheduler"),
                    tags_run.TagsRunFacetFields("code_version", run.code, "scheduler"),
                ]
            ),
        }
        inputs = self._inputs(run)
        self._emit(run.view, RunState.START, run.as_of, Run(run.run_id, facets), job, inputs, [])
        if columns is None:
            facets = {
                **facets,
                "errorMessage": error_message_run.ErrorMessageRunFacet(
                    "IO Error: connection to bureau gateway timed out after 20 s", "SQL"
                ),
            }
            self._emit(
                run.view, RunState.FAIL, run.written, Run(run.run_id, facets), job, inputs, []
            )
            return
        output = self._output(run, columns)
        self._emit(
            run.view, RunState.COMPLETE, run.written, Run(run.run_id, facets), job, inputs, [output]
        )

    def training(self, model: Model, rows: int) -> None:
        """The training run that made a model file out of the two views."""
        recipe = model.recipe
        run_id = run_uuid(self._seed, "pd_training", recipe.version)
        job = Job(
            JOBS,
            "pd_training",
            {
                "jobType": job_type_job.JobTypeJobFacet("BATCH", "XGBOOST", "TRAINING"),
                "documentation": documentation_job.DocumentationJobFacet(
                    "Trains pd on the views as they were and on what became of the clients."
                ),
            },
        )
        facets: dict[str, Any] = {"processing_engine": _engine("XGBoost", RUNTIME_VERSION)}
        inputs = [
            InputDataset(DATASETS, f"features.{view}") for view in VIEWS if view != "request"
        ] + [InputDataset(DATASETS, "raw.defaults")]
        output = OutputDataset(
            "models",
            f"pd/{recipe.version}",
            facets={"version": dataset_version_dataset.DatasetVersionDatasetFacet(model.digest)},
            outputFacets={"outputStatistics": _OutputStatistics(rowCount=rows, fileCount=1)},
        )
        run = Run(run_id, facets)
        self._emit("pd_training", RunState.START, recipe.trained_on, run, job, inputs, [])
        self._emit(
            "pd_training",
            RunState.COMPLETE,
            recipe.trained_on + 412_000_000,
            run,
            job,
            inputs,
            [output],
        )

    def _emit(
        self,
        name: str,
        state: RunState,
        moment: int,
        run: Run,
        job: Job,
        inputs: list[InputDataset],
        outputs: list[OutputDataset],
    ) -> None:
        if name not in self._clients:
            config = FileConfig(log_file_path=str(self._folder / f"{name}.jsonl"), append=True)
            self._clients[name] = OpenLineageClient(transport=FileTransport(config))
        self._clients[name].emit(
            RunEvent(
                eventType=state,
                eventTime=plan.iso(moment),
                run=run,
                job=job,
                producer=PRODUCER,
                inputs=list(inputs),
                outputs=list(outputs),
            )
        )

    def _inputs(self, run: views.Run) -> list[InputDataset]:
        found = []
        for table in _INPUTS[run.view]:
            rows, metrics = self._measure(table, run.as_of)
            found.append(
                InputDataset(
                    DATASETS,
                    table,
                    facets={"schema": self._schemas[table]},
                    inputFacets={
                        "dataQualityMetrics": _InputMetrics(
                            {_WATCHED[table]: metrics}, rowCount=rows
                        )
                    },
                )
            )
        return found

    def _measure(
        self, table: str, as_of: int
    ) -> tuple[int, data_quality_metrics_input_dataset.ColumnMetrics]:
        """Rows of a raw table that a run saw, and the measures of its watched column."""
        if table in self._still:
            return self._rows[table], self._still[table]
        column, grows = _WATCHED[table], _GROWING.get(table)
        seen = f"WHERE {grows} < make_timestamp({as_of})" if grows else ""
        [(rows, low, high, total)] = self._con.execute(
            f"SELECT count(*), min({column})::DOUBLE, max({column})::DOUBLE, sum({column})::DOUBLE "
            f"FROM {table} {seen}"
        ).fetchall()
        metrics = data_quality_metrics_input_dataset.ColumnMetrics(
            nullCount=0, count=rows, min=low, max=high, sum=total, quantiles=None
        )
        if not grows:
            self._still[table], self._rows[table] = metrics, rows
        return rows, metrics

    def _output(self, run: views.Run, columns: dict[str, NDArray[np.float64]]) -> OutputDataset:
        table = f"features.{run.view}"
        if table not in self._schemas:
            self._schemas[table] = _schema(self._con, table)
        metrics = {name: _column_metrics(values) for name, values in columns.items()}
        rows = len(next(iter(columns.values())))
        content = sha256(b"".join(values.tobytes() for values in columns.values()))
        return OutputDataset(
            DATASETS,
            table,
            facets={
                "schema": self._schemas[table],
                "columnLineage": column_lineage(run.view, run.code),
                "version": dataset_version_dataset.DatasetVersionDatasetFacet(content),
                "dataQualityMetrics": data_quality_metrics_dataset.DataQualityMetricsDatasetFacet(
                    metrics, rowCount=rows
                ),
            },
            outputFacets={"outputStatistics": _OutputStatistics(rowCount=rows)},
        )


@cache
def column_lineage(view: str, code: str) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    """Which input columns feed each output column, as the SQL file's head states it."""
    text = views.sql_file(view, code).read_text(encoding="utf-8")
    fields = {}
    for output, sources in re.findall(r"^-- lineage: (\w+)\s*<- (.+)$", text, re.MULTILINE):
        inputs = []
        for source in sources.split(", "):
            table, column = source.rsplit(".", 1)
            same = sources == source and column == output
            kind = column_lineage_dataset.Transformation(
                "DIRECT", "IDENTITY" if same else "TRANSFORMATION"
            )
            inputs.append(column_lineage_dataset.InputField(DATASETS, table, column, [kind]))
        fields[output] = column_lineage_dataset.Fields(inputs)
    return column_lineage_dataset.ColumnLineageDatasetFacet(fields)


@cache
def _job(view: str, code: str) -> Job:
    path = views.sql_file(view, code)
    return Job(
        JOBS,
        view,
        {
            "jobType": job_type_job.JobTypeJobFacet("BATCH", "DUCKDB", "QUERY"),
            "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet(
                type="git",
                url=f"{REPOSITORY.removesuffix('.git')}/blob/{code}/pipelines/{view}.sql",
                repoUrl=REPOSITORY,
                path=f"pipelines/{view}.sql",
                version=code,
            ),
            "sql": sql_job.SQLJobFacet(path.read_text(encoding="utf-8"), "duckdb"),
        },
    )


def _engine(name: str, version: str) -> processing_engine_run.ProcessingEngineRunFacet:
    return processing_engine_run.ProcessingEngineRunFacet(version=version, name=name)


def _schema(con: duckdb.DuckDBPyConnection, table: str) -> schema_dataset.SchemaDatasetFacet:
    columns = con.execute(f"DESCRIBE {table}").fetchall()
    return schema_dataset.SchemaDatasetFacet(
        [schema_dataset.SchemaDatasetFacetFields(name=row[0], type=row[1]) for row in columns]
    )


def _column_metrics(values: NDArray[np.float64]) -> data_quality_metrics_dataset.ColumnMetrics:
    present = values[~np.isnan(values)]
    # One sort gives every quantile and the number of distinct values.
    present.sort()
    quantiles = {
        str(share): float(present[round(share * (present.size - 1))]) for share in _QUANTILES
    }
    return data_quality_metrics_dataset.ColumnMetrics(
        nullCount=int(values.size - present.size),
        distinctCount=int(1 + np.count_nonzero(np.diff(present))),
        count=int(present.size),
        sum=float(np.round(present.sum(), 4)),
        min=float(present[0]),
        max=float(present[-1]),
        quantiles=quantiles,
    )
