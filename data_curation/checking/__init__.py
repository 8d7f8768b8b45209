"""What `validate.py` knows about anybody's instruction files."""
