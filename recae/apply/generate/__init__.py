"""Synthetic users, how good and how private they are, and the way from one taste to another."""

from recae.apply.generate.generator import UserGenerator, synthesise
from recae.apply.generate.interpolation import interpolate, path_quality
from recae.apply.generate.measuring import synthetic_report
from recae.apply.generate.report import SyntheticReport

__all__ = [
    "SyntheticReport",
    "UserGenerator",
    "interpolate",
    "path_quality",
    "synthesise",
    "synthetic_report",
]
