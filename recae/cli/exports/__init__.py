"""The commands that write, load and compare exports."""
