"""The contract's record kinds, each declared in a file of its own."""
