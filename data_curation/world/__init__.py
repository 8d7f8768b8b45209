"""A drawn world of 48 actions of NTU RGB+D, composed of few parts and filmed at a chosen difficulty."""
