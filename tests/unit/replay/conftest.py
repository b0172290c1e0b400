from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

# Builders are a module of their own beside this file; with importlib mode there is no path to it.
_spec = importlib.util.spec_from_file_location("credit", Path(__file__).parent / "credit.py")
assert _spec is not None
assert _spec.loader is not None
if "credit" not in sys.modules:
    sys.modules["credit"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["credit"])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return sys.modules["credit"].Service(tmp_path_factory.mktemp("credit"))
