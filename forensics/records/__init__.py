"""Frozen nouns that every room shares."""
