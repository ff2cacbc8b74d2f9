"""What all fitted things share: hyperparameters, clone, and the saved form."""
