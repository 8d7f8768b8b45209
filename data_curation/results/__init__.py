"""The results of a run: files to train and test on, a data set, a page."""
