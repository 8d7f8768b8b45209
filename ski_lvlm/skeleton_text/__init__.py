"""Systems that match features of a frozen skeleton encoder with vectors of class names."""
