"""What of a record is personal: who may see it, how it is encrypted, and how it is forgotten."""
