"""Runs a recorded decision again. Light on purpose: the worker process imports this package."""
