"""What is asked about videos, answered, and to be graded."""
