"""Detection and cropping of the acting persons."""
