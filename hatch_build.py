"""Build hook: ``sample_data/`` goes into built wheels as ``forensics/sample_data``.

A plain force-include would also copy it into every editable install, beside and soon behind the
checkout; there ``forensics demo`` reads the checkout's own.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SampleDataHook(BuildHookInterface[Any]):
    """Includes the sample system in standard wheels."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build; ``version`` is ``standard`` or ``editable``."""
        if version == "standard":
            build_data["force_include"][str(Path(self.root, "sample_data"))] = (
                "forensics/sample_data"
            )
