"""Takes the pictures of the terminal UI on the sample lake; each was looked at.

Run it in the repository after ``make lake``, with the extra ``tui``. Its frames load nothing from
elsewhere: a picture in a page may not.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAKE = ROOT / "build" / "sample-lake"
SIZE = (100, 30)
_REQUEST = "7f3a-c1"
#: Each picture: the decision that it opens on, the keys pressed, and what is waited for.
PICTURES: dict[str, tuple[str | None, tuple[str, ...], str]] = {
    "tui-decisions": (
        None,
        ("t", "ctrl+u", *"2026-10-21", "space", "0", "2", "colon", "4", "1", "enter"),
        "> 10-21",
    ),
    "tui-summary": (_REQUEST, (), "bit exact ·"),
    "tui-why": (_REQUEST, ("right_square_bracket",) * 2, "base value"),
    "tui-steps": (_REQUEST, ("right_square_bracket",) * 4, "feature_fetch"),
}
_PATIENCE = 1_500


async def _picture(identifier: str | None, keys: tuple[str, ...], wanted: str) -> str:
    from forensics_tui.app import ForensicsApp
    from forensics_tui.opening import Asked, open_lake

    app = ForensicsApp(open_lake(Asked(LAKE, identifier)))
    async with app.run_test(size=SIZE) as pilot:
        await _shown(app, "bit exact ·" if identifier else "bars up to")
        await pilot.press(*keys)
        await _shown(app, wanted)
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
    """Write all pictures."""
    os.environ |= {"COLORTERM": "truecolor", "TERM": "xterm-256color"}
    os.environ.pop("NO_COLOR", None)
    for name, (identifier, keys, wanted) in PICTURES.items():
        svg = asyncio.run(_picture(identifier, keys, wanted))
        target = Path(__file__).with_name(f"{name}.svg")
        target.write_text(_alone(svg), encoding="utf-8")
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
