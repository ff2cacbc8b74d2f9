"""Benchmarks of recae beside other libraries; `python -m evaluation.speed` lists and runs them."""
