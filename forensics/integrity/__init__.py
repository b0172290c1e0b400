"""The transparency log as pure functions; knows bytes and hashes, and no lake."""
