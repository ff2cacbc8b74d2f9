"""Applications of fitted models: anomalies, compression, synthetic users, maps and steering."""
