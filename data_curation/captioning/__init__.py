"""Saying what a crop shows: by measured motion, by a model on this machine, by one on a server."""
