from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forensics.replay.client import Workers

# Helpers are modules of their own beside this file; with importlib mode there is no path to them.
for _name in ("both", "mutations", "lakes"):
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).parent / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])


@pytest.fixture(scope="session")
def logic_records(service: Any) -> list[dict[str, Any]]:
    """Decisions of a logic of five steps, whose recorded values are what it gives."""
    lakes = sys.modules["lakes"]
    rules, config = service.kept.put(lakes.LOGIC), service.kept.put(lakes.CONFIG)
    workers = Workers()
    found = []
    try:
        for number, features in enumerate(service.rows[:60]):
            decision = service.decide(features)
            decision = replace(
                decision,
                config={"digest": config, "values": dict(lakes.CONFIG), "revision": "c1"},
                steps=({"id": "policy", "kind": "rules", "digest": rules},),
                threshold=0.5,
            )
            decision = lakes.decided(decision, service.kept, workers)
            found.append(lakes.as_record(decision, number))
    finally:
        workers.close()
    return found


@pytest.fixture
def artifacts(service: Any) -> list[bytes]:
    """Everything that the service ran."""
    return [path.read_bytes() for path in service.kept.paths.values()]
