"""The demo and the choice of its settings."""
