"""Zero-shot recognition by class texts."""
