"""Evidence at rest: Delta tables, the look-up index, artifacts, and the queries over them."""
