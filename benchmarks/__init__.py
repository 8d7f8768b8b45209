"""Measurements. Nothing imports them but their tests."""
