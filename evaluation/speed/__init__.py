"""Benchmarks of recae against other libraries; `python -m evaluation.speed` lists and runs them."""
