"""The service under load: correctness during reloads, throughput and latency."""
