"""What autoencoders do beside recommending, measured."""
