"""Accuracies of action recognition: scores, tables and pictures."""
