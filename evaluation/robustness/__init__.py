"""Robustness checks: kills, random bytes, malformed input, threads, random settings."""
