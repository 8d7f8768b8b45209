"""Weights that others released, read into our models."""
