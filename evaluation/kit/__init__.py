"""What the scripts share: provenance, tables, pictures, a grid search, the size of the house."""
