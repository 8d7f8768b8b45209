"""Captions of crops: from measured motion, from a model on this machine, or from a server."""
