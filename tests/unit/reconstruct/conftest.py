from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# With importlib mode there is no path to helpers beside the tests.
for _name in ("forms", "changing"):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
    assert _spec is not None
    assert _spec.loader is not None
    if _name not in sys.modules:
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])
