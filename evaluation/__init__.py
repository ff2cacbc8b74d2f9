"""What recae's figures come from: `python -m evaluation` lists the scripts."""
