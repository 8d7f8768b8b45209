"""Checks of instruction files for `validate.py`."""
