"""The language model: loading, chat template, prompt, answer."""
