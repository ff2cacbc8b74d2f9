"""Other libraries under our protocol."""
