"""One module per model library, and what they have in common."""
