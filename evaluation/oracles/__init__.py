"""Are the figures right? Metrics and tests against other libraries, plain arithmetic and chance."""
