"""More than a hundred kinds of malformed input, and the error that each must raise."""
