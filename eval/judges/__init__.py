"""The judges, their questions, and the file of their grades."""
