"""The metrics of a service, in the text format of Prometheus; those of all its workers together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from recae.serve.shelf import Reload, Shelf

TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counts of one worker. folder: where workers keep their counts, if there are several; the
    variable PROMETHEUS_MULTIPROC_DIR must name it before prometheus_client is first imported."""

    def __init__(self, shelf: Shelf, folder: Path | None = None) -> None:
        self.shelf, self.folder = shelf, folder
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "recae_requests", "Requests", ("endpoint", "status"), registry=registry
        )
        self.seconds = Histogram(
            "recae_request_seconds", "Time to an answer", ("endpoint",), buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.inside = Gauge(
            "recae_requests_in_flight", "Requests that are being answered", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.refusals = Counter(
            "recae_queue_refusals", "Requests refused because too many waited", registry=registry
        )
        self.unknown = Counter(
            "recae_unknown_ids", "Item ids that the model did not know", registry=registry
        )
        self.users = Counter("recae_ranked_users", "Users that got a list", registry=registry)
        self.reloads = Counter(
            "recae_reloads", "Attempts to load a model again", ("model", "result"),
            registry=registry,
        )  # fmt: skip
        for name in shelf.names():
            for result in ("ok", "failed"):
                self.reloads.labels(name, result)
        self.made: dict[tuple[str, int], tuple[Any, Any]] = {}

    def begin(self) -> None:
        """A request comes in."""
        self.inside.inc()

    def end(self, endpoint: str, status: int, seconds: float, facts: Mapping[str, Any]) -> None:
        """A request has been answered."""
        self.inside.dec()
        pair = self.made.get((endpoint, status))
        if pair is None:
            pair = self.requests.labels(endpoint, str(status)), self.seconds.labels(endpoint)
            self.made[endpoint, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)
        if status == 429:
            self.refusals.inc()
        if facts.get("unknown"):
            self.unknown.inc(facts["unknown"])
        if status == 200 and "users" in facts:
            self.users.inc(facts["users"])

    def reload(self, done: Reload) -> None:
        """A model was loaded again, or could not be."""
        self.reloads.labels(done.name, "failed" if done.served is None else "ok").inc()

    def text(self) -> bytes:
        """All metrics; the models are those of this worker."""
        registry = self.registry
        if self.folder is not None:
            registry = CollectorRegistry()
            collect: Any = MultiProcessCollector
            collect(registry, str(self.folder))
        models = CollectorRegistry()
        models.register(_Models(self.shelf))
        return generate_latest(registry) + generate_latest(models)


class _Models:
    """The models as a metric, read when it is asked for: versions come and go."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The versions and the times of loading, read when Prometheus asks, so that they are those
        of now."""
        info = GaugeMetricFamily(
            "recae_model_info", "The models that are served", labels=("model", "kind", "version")
        )
        loaded = GaugeMetricFamily(
            "recae_model_loaded_seconds", "When a model was loaded, Unix time", labels=("model",)
        )
        for name in self.shelf.names():
            served = self.shelf.get(name)
            info.add_metric((name, type(served.model).__name__, served.version), 1)
            loaded.add_metric((name,), served.loaded_at.timestamp())
        yield info
        yield loaded
