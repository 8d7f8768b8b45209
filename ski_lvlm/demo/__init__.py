"""A page in the browser to try trained models on one's own clips: `python -m ski_lvlm.demo`."""
