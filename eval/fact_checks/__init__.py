"""Checks of captions against the exact facts of synthetic clips: what a caption says, and whether it is so."""
