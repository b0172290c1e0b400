from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensics.lake.sql import Connection, connect

# With importlib mode there is no path to helpers beside the tests.
_place = Path(__file__).with_name("decisions.py")
_spec = importlib.util.spec_from_file_location("decisions", _place)
assert _spec is not None
assert _spec.loader is not None
if "decisions" not in sys.modules:
    sys.modules["decisions"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["decisions"])


@pytest.fixture(scope="session")
def connection() -> Iterator[Connection]:
    with connect(threads=1) as opened:
        yield opened
