"""Texts from the facts of synthetic clips: captions, questions with answers, and the words in which things are told."""
