"""Converters from the folders in which data sets come to a table of clips, one module a data set."""
