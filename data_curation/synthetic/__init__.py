"""The synthetic set of `synthesize.py`: moving bodies, rooms, objects, a camera and a sensor."""
