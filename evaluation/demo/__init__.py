"""The demo, and how its settings were chosen."""
