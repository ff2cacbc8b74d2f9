"""The scripts behind recae's figures: `python -m evaluation` lists them."""
