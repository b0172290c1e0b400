"""Verification: everything that was sealed is there and is what was sealed, or is named."""
