"""Explanations: which items of a history added how much to the score of a recommended item."""
