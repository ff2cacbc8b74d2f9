"""What the scripts share: provenance, tables, pictures, grid search, size and walks of recae."""
