"""Postmortems: what happened, said in statements that can be asked again."""
