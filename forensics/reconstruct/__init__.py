"""Reconstruction: one decision in full, the state of the system at a time, what differs and why."""
