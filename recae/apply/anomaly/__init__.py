"""Anomaly detection: fake profiles, and examples that are unlikely under a model."""

from recae.apply.anomaly.attacks import Injected, inject_profiles
from recae.apply.anomaly.detector import AnomalyDetector
from recae.apply.anomaly.profiles import Profiles, detect_profiles

__all__ = ["AnomalyDetector", "Injected", "Profiles", "detect_profiles", "inject_profiles"]
