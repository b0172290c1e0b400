"""Reconstructions for readers: one file per form."""
