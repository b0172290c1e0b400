"""Without replay a decision's evidence is classed as replay would class it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.lake.artifacts import ArtifactStore

from lakes import CONFIG, LOGIC, Record, lake_of  # isort: skip

MISSING = "sha256:" + "7" * 64


def digests(record: Record) -> dict[str, str]:
    rules = next(step["digest"] for step in record["steps"] if step["kind"] == "rules")
    return {"rules": rules, "model": record["model"]["digest"]}


def both(lake: Path, identifier: str) -> tuple[Any, Any]:
    """The classes that a trace gives with replay and without."""
    with forensics.open(lake) as opened:
        with_replay, without = (
            opened.trace(identifier, replay=replay, counterfactuals=0)[0].completeness
            for replay in (True, False)
        )
    return with_replay, without


@pytest.fixture
def record(logic_records: list[Record]) -> Record:
    return copy.deepcopy(logic_records[0])


def without(lake: Path, digest: str) -> None:
    path = ArtifactStore(lake).path(digest)
    assert path is not None
    path.unlink()


@pytest.mark.parametrize("what", ["rules", "model"])
def test_an_artifact_that_is_not_in_the_lake_is_named_with_and_without_replay(
    tmp_path: Path, artifacts: list[bytes], record: Record, what: str
) -> None:
    lake = lake_of(tmp_path / "lake", artifacts, [record])
    assert [found.class_ for found in both(lake, record["request_id"])] == ["C1", "C1"]
    digest = digests(record)[what]
    without(lake, digest)
    name = f"artifact {digest} ({'rules' if what == 'rules' else 'model file'})"
    for found in both(lake, record["request_id"]):
        assert found.class_ == "none"
        assert name in [field for field, _ in found.missing]


@pytest.mark.parametrize(
    ("change", "class_"),
    [
        (lambda r: None, "C1"),
        (lambda r: r.pop("steps"), "none"),
        (lambda r: [step.pop("digest", None) for step in r["steps"]], "none"),
        (lambda r: r["steps"][-1].update(digest=MISSING), "none"),
        (lambda r: r["steps"][-1].update(digest=r["model"]["digest"]), "none"),
        (lambda r: r["model"].pop("digest"), "none"),
        (lambda r: r["model"].update(digest=MISSING), "none"),
        (lambda r: r.pop("model"), "none"),
        (lambda r: r["steps"].append({"id": "x", "kind": "cache", "digest": MISSING}), "C1"),
    ],
)
def test_what_a_record_lacks_gives_the_same_class_with_and_without_replay(
    tmp_path: Path, artifacts: list[bytes], record: Record, change: Any, class_: str
) -> None:
    change(record)
    lake = lake_of(tmp_path / "lake", artifacts, [record])
    assert [found.class_ for found in both(lake, record["request_id"])] == [class_, class_]
    shutil.rmtree(lake)


def test_rules_that_use_no_model_need_none(tmp_path: Path, record: Record) -> None:
    import json

    logic = {**LOGIC, "steps": [{
        "id": "policy", "kind": "table",
        "rules": [{"id": "R1", "when": "months_late >= max_months_late", "outcome": "DECLINE"}],
        "default": {"id": "R0", "outcome": "APPROVE"},
    }], "score": None, "derived": {}}  # fmt: skip
    data = [json.dumps(each).encode() for each in (logic, CONFIG)]
    lake = lake_of(tmp_path / "kept", data, [])
    store = ArtifactStore(lake)
    record["steps"] = [{"id": "policy", "kind": "rules", "digest": store.put(data[0])}]
    record["config"]["digest"] = store.put(data[1])
    late = record["features"]["months_late"] >= CONFIG["max_months_late"]
    record["outcome"] = "DECLINE" if late else "APPROVE"
    del record["model"]
    lake = lake_of(tmp_path / "lake", data, [record])
    assert [found.class_ for found in both(lake, record["request_id"])] == ["C1", "C1"]
