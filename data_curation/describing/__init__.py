"""Sentences about action classes, written by a language model."""
