"""Checks metrics and tests against other libraries, plain arithmetic and simulation."""
