"""Machinery of the table commands."""
