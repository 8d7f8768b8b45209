"""Data sets: NTU RGB+D, imported skeletons, clips for training, instruction files."""
