"""The toy set behind `synthesize.py`: bodies that move, rooms, objects, a camera and a sensor."""
