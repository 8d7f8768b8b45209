"""Machinery of the figure commands."""
