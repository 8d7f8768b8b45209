"""Trained models on the Hugging Face hub: which files they consist of, how they are pushed, found and described."""
