"""Decision logic as an artifact: how a decision point gets from features to an outcome.

    {"type": "logic", "name": "credit_line", "version": "8",
     "steps": [
       {"id": "raw", "kind": "model"},
       {"id": "pd", "kind": "calibration", "of": "raw", "method": "platt", "a": -1.02, "b": 0.1},
       {"id": "burden", "kind": "expression", "sql": "debt / nullif(income, 0)"},
       {"id": "band", "kind": "bands", "of": "pd",
        "bands": [{"below": "config.low", "value": "A"}, {"value": "B"}], "missing": "B"},
       {"id": "policy", "kind": "table", "rules": [
          {"id": "R1", "when": "burden > max_burden", "outcome": "DECLINE"},
          {"id": "R2", "when": "pd >= threshold", "outcome": "DECLINE"}],
        "default": {"id": "R0", "outcome": "APPROVE"}}],
     "score": "pd", "outcome": "policy",
     "levers": {"utilisation_3m": {"min": 0, "max": 3, "step": 0.01}}}

Steps run in order; each may use features, values of the configuration and the steps before it.
Expressions are SQL over those names. A rule set (``"type": "rules"``) is the short form of a model
step called ``score`` and one table.
"""

from forensics.replay.logic.nouns import EngineUse, Lever, Logic, ModelUse, Rule, Step
from forensics.replay.logic.read import constrained, read_logic
from forensics.replay.logic.run import Answer, BoundLogic, as_outcome, bind

__all__ = [
    "Answer",
    "BoundLogic",
    "EngineUse",
    "Lever",
    "Logic",
    "ModelUse",
    "Rule",
    "Step",
    "as_outcome",
    "bind",
    "constrained",
    "read_logic",
]
