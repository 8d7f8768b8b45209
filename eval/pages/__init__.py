"""The HTML pages of finished runs."""
