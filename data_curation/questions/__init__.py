"""From captions to question-answer pairs."""
