"""Pretrained encoders of skeletons, text and frames."""
