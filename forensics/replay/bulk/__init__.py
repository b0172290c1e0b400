"""Replay of many decisions at once, by columns; verdicts are those of one decision's replay."""
