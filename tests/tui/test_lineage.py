"""Lineage that one walks: from a decision to runs and datasets, up, down, and back."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from forensics.testing import decision_record, run_event

SHOWCASE = "7f3a-c1"
START = datetime(2026, 10, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START.replace(minute=minute)


@pytest.fixture
def chain(lake: Path, take_in: Callable[..., Any]) -> Path:
    """A decision at minute 30 whose feature a run wrote; later its job reads something else."""
    take_in(
        [
            run_event("run-1", at=at(5), job="load", inputs=["raw"], outputs=["clean"]),
            run_event("run-2", at=at(10), job="features", code="one", inputs=["clean"],
                      outputs=["features"]),
            run_event("run-3", at=at(40), job="features", code="two", inputs=["other"],
                      outputs=["features"]),
        ]
    )  # fmt: skip
    take_in(
        [
            decision_record(
                decision_id="d-1",
                request_id="r-1",
                occurred_at="2026-10-01T00:30:00Z",
                features={"x": 1.5, "lonely": 2.0},
                feature_sources=[
                    {"view": "features", "features": ["x"], "dataset": "warehouse/features",
                     "job": "pipelines/features", "run_id": "run-2"}
                ],
            )
        ]
    )  # fmt: skip
    return lake


async def walked(seat: Any, wanted: str) -> None:
    """Put the cursor on a line that says something, from the first on."""
    await seat.press("g")
    outline = seat.app.screen.outline
    for _ in range(60):
        line = outline._laid.items[outline._cursor].line
        if wanted in "".join(part.text for part in line):
            return
        await seat.press("j")
    raise AssertionError(f"no line says {wanted!r}: {outline.text}")


async def begun(seat: Any) -> None:
    await seat.see("[summary]")
    await seat.press("L")
    await seat.see("as the decision found it")
    await seat.see(lambda text: "looking" not in text)


def test_a_decision_leads_to_datasets_runs_and_what_they_read(
    sample_lake: Path, seated: Any, run: Callable[..., Any]
) -> None:
    answer = run("trace", SHOWCASE, "--lake", sample_lake, "--no-replay", "--json").json

    async def session() -> None:
        async with seated(sample_lake, size=(200, 60), identifier=SHOWCASE) as seat:
            await begun(seat)
            text = await seat.see("DECLINE · credit_line")
            for feature in answer["features"]:
                assert feature["name"] in text
                if feature["producing_run"]:
                    assert f"run {feature['producing_run'][:8]}" in text
                    assert f"dataset {feature['source'].split(' ')[0]}" in text
            assert "code 88ac → 3e1f · 2026-10-21 02:13:04 COMPLETE" in text
            assert "read warehouse/raw.statements" in text
            assert "48.44 ! usually 0.3196" in text
            await seat.press("ctrl+y")
            copied = run(*shlex.split(seat.app.clipboard)[1:], "--json").json
            assert copied["features"] == answer["features"]

    asyncio.run(session())


def test_the_lineage_of_a_node_is_what_the_command_prints(
    sample_lake: Path, seated: Any, run: Callable[..., Any]
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(160, 50), identifier=SHOWCASE) as seat:
            await begun(seat)
            await walked(seat, "utilisation_3m")
            await seat.see("usual ")
            await seat.press("enter")
            await seat.see("6 columns")
            await seat.press("ctrl+y")
            words = shlex.split(seat.app.clipboard)
            assert words[2] == "feature:credit_line.utilisation_3m"
            assert words[words.index("--as-of") + 1].startswith("2026-10-21T02:41:07.318")
            answer = run(*words[1:], "--json").json
            said = "\n".join(seat.app.screen.outline.text)
            assert len(answer["nodes"]) == 7
            for node in answer["nodes"]:
                assert node["id"].partition(":")[2] in said
            assert f"{len(answer['nodes'])} nodes, {len(answer['edges'])} edges" in seat.text

    asyncio.run(session())


def test_one_walks_on_and_comes_back_to_the_line_one_left(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40), identifier="r-1") as seat:
            await begun(seat)
            await walked(seat, "dataset warehouse/features")
            await seat.press("enter")
            await seat.see("lineage of dataset warehouse/features")
            await walked(seat, "warehouse/clean")
            await seat.see("1 job upstream")
            await seat.press("y")
            assert seat.app.clipboard == "dataset:warehouse/clean"
            await seat.press("enter")
            text = await seat.see("lineage of dataset warehouse/clean")
            assert "warehouse/raw" in await seat.see("downstream ·")
            await seat.press("enter")  # on the root
            text = await seat.see("This is where you are")
            await seat.press("<")
            text = await seat.see("lineage of dataset warehouse/features")
            assert any(line.startswith(">") and "warehouse/clean" in line
                       for line in text.splitlines())  # fmt: skip
            await seat.press("escape")
            text = await seat.see("as the decision found it")
            assert any(line.startswith(">") and "dataset warehouse/features" in line
                       for line in text.splitlines())  # fmt: skip
            await seat.press("escape")
            await seat.see("[summary]")

    asyncio.run(session())


def test_it_is_as_of_the_decision_until_one_asks_for_now(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40), identifier="r-1") as seat:
            await begun(seat)
            await walked(seat, "dataset warehouse/features")
            await seat.press("enter")
            text = await seat.see("as of 2026-10-01 00:30:00")
            await seat.see("warehouse/clean")
            assert "warehouse/other" not in seat.text
            await seat.press("r")
            text = await seat.see("warehouse/other")
            assert "as it is now" in text
            assert "warehouse/clean" not in text
            await seat.press("ctrl+y")
            assert "--as-of" not in seat.app.clipboard
            await seat.press("r")
            await seat.see("warehouse/clean")

    asyncio.run(session())


def test_depth_and_direction_are_chosen(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40), identifier="r-1") as seat:
            await begun(seat)
            await seat.press("+")
            await seat.see("Walk to a node first")
            await walked(seat, "dataset warehouse/features")
            await seat.press("enter")
            await seat.see("both ways · 5 jobs far")
            await seat.see("warehouse/raw")
            await seat.press("-", "-", "-", "-")
            await seat.see("1 job far")
            text = await seat.see("more beyond depth 1")
            assert "warehouse/raw" not in text
            await seat.press("+")
            await seat.see("warehouse/raw")
            await seat.press("0")
            await seat.see("all the way")
            await seat.press("ctrl+y")
            assert "--depth all" in seat.app.clipboard
            await seat.press("d")
            text = await seat.see(" · upstream · ")
            await seat.see("2 datasets, 2 jobs")
            assert "downstream" not in "\n".join(seat.app.screen.outline.text)
            await seat.press("ctrl+y")
            assert "--upstream" in seat.app.clipboard
            await seat.press("d")
            await seat.see("downstream · nothing")
            await seat.press("d")
            await seat.see("both ways")

    asyncio.run(session())


def test_a_run_is_walked_by_what_it_read_and_wrote(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40), identifier="r-1") as seat:
            await begun(seat)
            await walked(seat, "run run-2")
            text = await seat.see("code          one")
            assert "job           pipelines/features" in text
            await seat.press("enter")
            await seat.see("lineage of run run-2")
            await seat.see("warehouse/clean")
            await seat.press("ctrl+y")
            assert "lineage run:run-2" in seat.app.clipboard

    asyncio.run(session())


def test_a_name_is_asked_for_and_one_that_nothing_has_is_said(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40), identifier="r-1") as seat:
            await begun(seat)
            await seat.press("/")
            await seat.see("lineage of")
            await seat.press("escape", "/")
            await seat.type("pipelines/load")
            await seat.press("enter")
            await seat.see("job pipelines/load")
            await seat.see("warehouse/raw")
            await seat.search("dataset:warehouse/cleen")
            await seat.see("Lineage knows no dataset 'warehouse/cleen'")
            assert "dataset:warehouse/clean," in seat.text
            await seat.press("escape")
            await seat.see("warehouse/raw")

    asyncio.run(session())


def test_a_feature_that_lineage_does_not_know_is_asked_by_its_dataset(
    chain: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40), identifier="r-1") as seat:
            await begun(seat)
            await walked(seat, "x  ")
            await seat.press("enter")
            await seat.see("lineage of dataset warehouse/features")
            await seat.press("escape")
            await walked(seat, "lonely")
            await seat.press("enter")
            await seat.see("Lineage knows no feature")

    asyncio.run(session())


def test_the_decision_itself_opens_and_rows_lead_here_too(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(120, 40)) as seat:
            await seat.see("1 of 1")
            await seat.press("L")
            await seat.see("lineage of r-1")
            await seat.see("└─")
            await seat.press("enter")
            await seat.see("[summary]")
            await seat.press("L")
            await seat.see("r-1 › lineage of r-1")
            await seat.see("└─")
            await seat.press("enter")
            await seat.see("[summary]")
            await seat.press("escape", "escape")
            await seat.see("1 of 1")

    asyncio.run(session())


def test_without_a_decision_it_says_where_to_begin(lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("0 decisions")
            await seat.press("L")
            await seat.see("Lineage begins at a decision.")

    asyncio.run(session())


def test_a_decision_has_it_as_a_tab(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, size=(100, 30), identifier="r-1") as seat:
            await seat.see("[summary]")
            await seat.press("]", "]", "]", "]", "]")
            text = await seat.see("[lineage]")
            assert "run run-2 · code one · 2026-10-01 00:10:00 COMPLETE of pipelines" in text
            assert "read warehouse/clean" in text
            assert "no source recorded" in text

    asyncio.run(session())


def test_what_can_be_pinned_can_be_asked_again(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        from forensics.incident.asking import Answers
        from forensics.incident.pointers import ABSENT, resolve
        from forensics.lake.snapshot import take

        async with seated(sample_lake, size=(120, 40), identifier=SHOWCASE) as seat:
            await begun(seat)
            pins = list(seat.app.screen.pinnables())
            assert "21 features" in pins[0].statement
            for wanted, says in (("utilisation_3m", "was 48.44"), ("run 89e582bf", "code 3e1f")):
                await walked(seat, wanted)
                pins.append(seat.app.screen.pinnables()[0])
                assert says in pins[-1].statement
            await seat.press("enter")
            await seat.see("upstream ·")
            await walked(seat, "warehouse/raw.statements")
            pins += seat.app.screen.pinnables()
            assert "dataset:warehouse/raw.statements is 0 jobs upstream of run:" in (
                pins[-2].statement
            )
        with Answers(take(sample_lake)) as answers:
            for pin in pins:
                value = resolve(answers.ask(pin.question), pin.pointer)
                assert value is not ABSENT
                if isinstance(value, dict) and "id" in value:
                    assert value["id"] in pin.statement

    asyncio.run(session())


def test_a_click_walks(chain: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(chain, identifier="r-1") as seat:
            await begun(seat)
            text = await seat.see("dataset warehouse/features")
            (y,) = (at for at, line in enumerate(text.splitlines()) if "dataset w" in line)
            await seat.click(offset=(12, y))
            await seat.press("y")
            assert seat.app.clipboard == "dataset:warehouse/features"
            await seat.click(offset=(12, y), times=2)
            await seat.see("lineage of dataset warehouse/features")

    asyncio.run(session())


def test_it_fits_every_screen(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await begun(seat)
            async for size in seat.sizes():
                await seat.see("└─" if size[1] > 24 else "├─")
                assert all(cell_len(line) == size[0] for line in seat.lines)
            await walked(seat, "utilisation_3m")
            await seat.press("enter")
            await seat.see("upstream · 6 columns")
            async for size in seat.sizes():
                await seat.press(
                    "tab", "j", "tab", "G", "g", "ctrl+d", "ctrl+u", "space", "b", "h", "l"
                )
                assert all(cell_len(line) == size[0] for line in seat.lines)

    asyncio.run(session())


def test_logged_text_does_nothing(
    lake: Path, take_in: Callable[..., Any], seated: Any, assert_inert: Callable[[str], None]
) -> None:
    texts = ["[@click=app.quit]x[/]", "a\u202eb\u2066", "漢字" * 30, "\x1b[2J\x07", "a/b/c", "#@:"]
    for number, text in enumerate(texts):
        take_in(
            [
                run_event(
                    f"{text} run", at=at(number), job=text, code=text,
                    inputs=[{"namespace": f"{text}/deep", "name": f"{text} in"}],
                    outputs=[{"namespace": text, "name": text}],
                ),
                decision_record(
                    decision_id=f"d-{number}",
                    request_id=f"r-{number}",
                    occurred_at=f"2026-10-01T00:3{number}:00Z",
                    outcome=text,
                    features={"x": text, "n": 1},
                    feature_sources=[
                        {"view": text, "features": ["x", "n"], "dataset": f"{text}/{text}",
                         "job": f"pipelines/{text}", "run_id": f"{text} run", "status": text}
                    ],
                ),
            ]
        )  # fmt: skip

    async def session() -> None:
        async with seated(lake, size=(120, 40)) as seat:
            await seat.see(f"1 of {len(texts)}")
            for _ in texts:
                await seat.press("L")
                await seat.see("as the decision found it")
                await seat.see("├─")
                assert_inert(seat.text)
                for line in (1, 3):
                    await seat.press("g", *["j"] * line, "y")
                    assert_inert(seat.text)
                    assert_inert(seat.app.clipboard)
                    for pin in seat.app.screen.pinnables():
                        assert_inert(pin.statement)
                    await seat.press("enter")
                    await seat.see(lambda text: "looking" not in text)
                    assert_inert(seat.text)
                    await seat.press("j", "j", "y", "ctrl+y")
                    assert_inert(seat.text)
                    assert_inert(seat.app.clipboard)
                    await seat.press("escape")
                    await seat.see("as the decision found it")
                await seat.press("escape", "j")
            assert seat.app.is_running

    asyncio.run(session())
