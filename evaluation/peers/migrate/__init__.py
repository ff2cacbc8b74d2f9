"""The migration guides of docs/, run on both sides."""
