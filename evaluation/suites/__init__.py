"""The suites: data, protocol, models and searches of `NAME.toml`, run, reported and compared."""
