"""Synthetic users with measures of quality and privacy, and interpolation between users."""

from recae.apply.generate.assessment import synthetic_report
from recae.apply.generate.generator import UserGenerator, synthesise
from recae.apply.generate.interpolation import interpolate, path_quality
from recae.apply.generate.report import SyntheticReport

__all__ = [
    "SyntheticReport",
    "UserGenerator",
    "interpolate",
    "path_quality",
    "synthesise",
    "synthetic_report",
]
