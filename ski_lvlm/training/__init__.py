"""The Hugging Face Trainer of both training commands, and its checkpoints."""
