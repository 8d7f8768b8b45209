"""Skeletons from videos: finders of persons, and estimators of their joints."""
