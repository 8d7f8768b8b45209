"""Where the acting persons are, and cutting them out."""
