"""Screens: each is one place, with its keys, its workers and what it shows."""
