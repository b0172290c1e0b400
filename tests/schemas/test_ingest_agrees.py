"""Ingest takes in what the published schemas accept, and refuses what they refuse."""

from pathlib import Path

import pytest

from forensics.ingest.assemble import assemble
from forensics.ingest.decode import decode
from forensics.ingest.interface import Options, Parsed

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
#: What a reconstruction is made from; nobody ingests one.
INPUTS = (
    "decision", "change", "override", "outcome", "declaration", "access", "hold", "erasure",
    "policy",
)  # fmt: skip
#: Where ingest is kinder than the contract, since an imperfect log is better than none.
KINDER = {
    "decision-feature-as-object": "kept as JSON text",
    "change-does-not-say-what-it-is": "told by its change_id",
    "outcome-label-as-number": "a bare number is taken as text",
}


def examples(folder: str) -> list:
    return [
        pytest.param(path, id=f"{kind}-{path.stem}")
        for kind in INPUTS
        for path in sorted((EXAMPLES / folder / kind).glob("*.json"))
    ]


def ingest(path: Path) -> Parsed:
    line = path.read_bytes().replace(b"\n", b" ")
    return assemble(path.name, [(1, line, decode(line))], {}, Options(), own=True)


@pytest.mark.parametrize("path", examples("valid"))
def test_a_valid_example_lands(path: Path) -> None:
    parsed = ingest(path)
    assert parsed.rejects == []
    assert [table.num_rows for table in parsed.tables.values()] == [1]


@pytest.mark.parametrize("path", examples("invalid"))
def test_an_invalid_example_is_refused_with_a_reason(path: Path) -> None:
    rejects = ingest(path).rejects
    if f"{path.parent.name}-{path.stem}" in KINDER:
        assert rejects == []
    else:
        (reject,) = rejects
        assert reject.reason
