"""Takes the pictures of the terminal UI on the sample lake; each was looked at.

Run it in the repository after ``make lake``, with the extra ``tui``, for all or for those that are
named. Its frames load nothing from elsewhere: a picture in a page may not.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAKE = ROOT / "build" / "sample-lake"
SIZE = (100, 30)
_REQUEST = "7f3a-c1"
#: Each picture: the decision that it opens on, and what is pressed, after what is waited for.
PICTURES: dict[str, tuple[str | None, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "tui-decisions": (
        None,
        (
            ("bars up to", ("at",)),
            ("go to a time", ("ctrl+u", *"2026-10-21 02:41:07.318", "enter")),
            ("> 10-21", ()),
        ),
    ),
    "tui-summary": (_REQUEST, (("bit exact ·", ()),)),
    "tui-why": (_REQUEST, (("bit exact ·", ("]", "]")), ("base value", ()))),
    "tui-steps": (_REQUEST, (("bit exact ·", ("]",) * 4), ("feature_fetch", ()))),
    "tui-timeline": (_REQUEST, (("bit exact ·", ("t",)), ("2 jumps", ()))),
    "tui-state": (_REQUEST, (("bit exact ·", ("s",)), ("traffic", ()))),
    "tui-findings": (
        _REQUEST,
        (("bit exact ·", ("f",)), ("scale jump", ()), ("checked in", ())),
    ),
    "tui-diff": (
        _REQUEST,
        (("bit exact ·", ("m", "escape")), ("bars up to", ("m", "x")), ("are equal", ())),
    ),
    "tui-lineage": (_REQUEST, (("bit exact ·", ("L",)), ("warehouse/raw", ()))),
    "tui-postmortem": (
        None,
        (
            ("bars up to", ("P",)),
            (
                "a new postmortem",
                ("ctrl+u", *"Declines after the statement format changed", "down"),
            ),
            (
                "since",
                ("ctrl+u", *"2026-10-21 02:13", "down", "ctrl+u", *"2026-10-21 05:41", "enter"),
            ),
            ("still holds", ()),
            ("esc back", ()),
        ),
    ),
}
_PATIENCE = 1_500


async def _picture(
    identifier: str | None, steps: tuple[tuple[str, tuple[str, ...]], ...], folder: Path
) -> str:
    from forensics_tui.app import ForensicsApp
    from forensics_tui.opening import Asked, open_lake

    app = ForensicsApp(open_lake(Asked(LAKE, identifier, postmortems=folder)))
    async with app.run_test(size=SIZE) as pilot:
        for wanted, keys in steps:
            await _shown(app, wanted)
            await pilot.press(*keys)
        await app.workers.wait_for_complete()
        await pilot.pause()
        return app.export_screenshot()


async def _shown(app: object, wanted: str) -> None:
    for _ in range(_PATIENCE):
        lines = app.screen._compositor.render_strips()  # type: ignore[attr-defined]
        if any(wanted in strip.text for strip in lines):
            return
        await asyncio.sleep(0.02)
    raise SystemExit(f"The screen never showed {wanted!r}.")


def _alone(svg: str) -> str:
    """A picture without fonts from elsewhere, in which spaces count."""
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    svg = re.sub(r"<!-- Generated with .*? -->", "", svg)
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    return re.sub(r"font-family: [^;]*;", 'font-family: "DejaVu Sans Mono", monospace;', svg)


def main() -> None:
    """Write the pictures."""
    os.environ |= {"COLORTERM": "truecolor", "TERM": "xterm-256color"}
    os.environ.pop("NO_COLOR", None)
    wanted = sys.argv[1:] or list(PICTURES)
    for name in wanted:
        identifier, steps = PICTURES[name]
        with tempfile.TemporaryDirectory() as folder:
            svg = asyncio.run(_picture(identifier, steps, Path(folder)))
        target = Path(__file__).with_name(f"{name}.svg")
        target.write_text(_alone(svg), encoding="utf-8")
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
