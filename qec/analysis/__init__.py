"""From counts of errors to a number with its interval, and to a picture."""
