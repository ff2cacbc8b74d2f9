"""Fake and spam profiles, found without labels."""
