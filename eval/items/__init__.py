"""Questions about videos, their answers, and the tasks of a judge."""
