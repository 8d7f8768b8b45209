"""The testbed behind `scripts/evidence.py`: its worlds, runs, hypotheses and pictures."""
