"""Projectors from tokens to embeddings of the language model, one kind a file."""
