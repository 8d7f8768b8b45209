"""Question-answer pairs from captions."""
