"""Synthetic users, how good and how private they are, and the way from one taste to another."""

from recae.generate.generator import UserGenerator
from recae.generate.interpolate import interpolate, path_quality
from recae.generate.measuring import synthetic_report
from recae.generate.report import SyntheticReport
from recae.generate.synthesise import synthesise

__all__ = [
    "SyntheticReport",
    "UserGenerator",
    "interpolate",
    "path_quality",
    "synthesise",
    "synthetic_report",
]
