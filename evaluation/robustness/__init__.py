"""What goes wrong, on purpose: kills, random bytes, malformed input, threads, random settings."""
