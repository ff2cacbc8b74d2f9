"""The base of all fitted objects: hyperparameters, clone, and the saved form."""
