"""From grades to means, intervals and comparisons."""
