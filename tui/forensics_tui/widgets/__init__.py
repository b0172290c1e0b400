"""Widgets: they show what they are given and ask the lake nothing but rows."""
