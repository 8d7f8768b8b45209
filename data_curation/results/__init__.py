"""What a run leaves: files to train and test on, a data set, a page."""
