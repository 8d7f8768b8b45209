"""Parts of eval/choose.py: questions with lettered options, the model's choices, and their accuracy."""
