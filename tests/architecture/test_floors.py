"""Upper floors import lower ones only, and each heavy library stays in its room.

The contracts are in pyproject.toml; here they run, and here is checked that none is empty.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {each["id"]: each for each in PROJECT["tool"]["importlinter"]["contracts"]}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "forensics", "forensics_schemas", "forensics_tui", include_external_packages=True
    )


def test_import_linter_keeps_every_contract() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_room_has_a_floor() -> None:
    floors = {layer.strip("()") for layer in CONTRACTS["floors"]["layers"]}
    rooms = {
        f"forensics.{path.stem}"
        for path in (ROOT / "forensics").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"forensics.__init__"} <= floors


def test_shap_is_imported_by_one_module_at_most(graph: grimp.ImportGraph) -> None:
    importers = graph.find_modules_that_directly_import("shap") if "shap" in graph.modules else ()
    assert len(importers) <= 1


def test_no_room_imports_the_facade(graph: grimp.ImportGraph) -> None:
    assert graph.find_modules_that_directly_import("forensics") == set()
