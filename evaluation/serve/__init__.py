"""The service under load and under fuzz: correctness, throughput, latency and memory."""
