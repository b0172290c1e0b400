"""``forensics trace`` answers before a heavy library could have been imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: 55 to 8,600 ms each, measured cold; DuckDB alone is worth its start.
HEAVY = {
    "catboost",
    "deltalake",
    "lightgbm",
    "numpy",
    "numpy.ma",
    "openlineage",
    "pandas",
    "polars",
    "pyarrow",
    "shap",
    "sklearn",
    "textual",
    "xgboost",
}


def heavy_modules_after(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after running ``code``."""
    report = "import json, sys; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    modules = json.loads(run.stderr.splitlines()[-1])
    return {*modules, *(name.partition(".")[0] for name in modules)} & HEAVY


@pytest.mark.parametrize(
    "module", ["forensics", "forensics.cli.main", "forensics.reconstruct.trace"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert heavy_modules_after(f"import {module}") == set()


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        # The search for counterfactuals is worth numpy, which costs 55 ms.
        ([], {"numpy"}),
        (["--json"], {"numpy"}),
        (["--counterfactuals", "0"], set()),
        (["--no-replay"], set()),
    ],
)
def test_a_trace_of_a_real_decision_loads_nothing_heavy(
    sample_lake: Path, truth: dict[str, Any], options: list[str], allowed: set[str]
) -> None:
    request = truth["incidents"][0]["showcase"]
    arguments = ["trace", request, "--lake", str(sample_lake), *options]
    code = f"from forensics.cli.main import run\nassert run({arguments!r}) == 0"
    assert heavy_modules_after(code) == allowed


def test_a_trace_loads_the_engine_of_duckdb_without_its_python_half(
    sample_lake: Path, truth: dict[str, Any]
) -> None:
    """That half takes 35 ms, a third of what a look-up has, and only makes relations and tables."""
    request = truth["incidents"][0]["showcase"]
    arguments = ["trace", request, "--no-replay", "--lake", str(sample_lake)]
    code = (
        "import sys\nfrom forensics.cli.main import run\n"
        f"assert run({arguments!r}) == 0\n"
        "assert '_duckdb' in sys.modules and 'duckdb' not in sys.modules"
    )
    heavy_modules_after(code)


def test_relations_and_tables_are_there_for_who_asks_for_them(sample_lake: Path) -> None:
    """In a process of its own: here, other tests have loaded DuckDB whole."""
    code = (
        "import forensics, sys\nfrom forensics.lake import sql\n"
        f"lake = forensics.open({str(sample_lake)!r})\n"
        "assert lake.snapshot().connection.execute('SELECT 1').fetchall() == [(1,)]\n"
        "assert 'duckdb' not in sys.modules\n"
        "assert lake.find(limit=3).to_arrow().num_rows == 3\n"
        "import duckdb\n"
        "assert (sql.Connection, sql.SqlError) == (duckdb.DuckDBPyConnection, duckdb.Error)"
    )
    heavy_modules_after(code)
