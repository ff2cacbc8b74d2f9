"""Linear autoencoders in closed form."""
