"""Applications of fitted models: anomalies, compression, synthetic users, maps and steering."""

import lazy_loader

APPLICATIONS = ["anomaly", "compress", "generate", "maps", "steer"]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=APPLICATIONS)
