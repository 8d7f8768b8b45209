"""Parts of eval/describe.py: what it reads of a video, and the engines that answer."""
