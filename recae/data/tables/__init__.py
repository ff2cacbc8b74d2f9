"""Reading tables of interactions."""
