"""Evidence in: one file per source format, one way from received bytes to the lake."""
