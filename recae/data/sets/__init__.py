"""Named data sets: their cards, files and downloads."""
