"""The modes of eval/score.py, one file each: grade, ping, compare, agreement, aggregate."""
