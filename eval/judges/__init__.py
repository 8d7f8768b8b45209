"""Who grades, what they are asked, and the file of their grades."""
