"""What a server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tutelage.serve.batching import Batcher

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters in a registry of their own, so that two servers in one process do not meet.

    ``route`` is a path as the server knows it (``/v1/models/{model}``), never what a client sent.
    """

    def __init__(self, batcher: Batcher):
        self.registry = CollectorRegistry()
        self.requests = Counter("tutelage_requests", "Requests answered.", ("route", "status"), registry=self.registry)
        self.seconds = Histogram(
            "tutelage_request_seconds", "From a request's first byte to its answer's last.", ("route",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.texts = Counter("tutelage_texts", "Texts embedded.", registry=self.registry)
        self.tokens = Counter("tutelage_tokens", "Tokens of these texts, after cutting.", registry=self.registry)
        self.truncated = Counter("tutelage_truncated_texts", "Texts cut at the model's length.", registry=self.registry)
        queued = Gauge("tutelage_queued_tokens", "Tokens that wait for the engine.", registry=self.registry)
        queued.set_function(lambda: batcher.queued)
        speed = Gauge("tutelage_tokens_per_second", "The engine's speed, latest rounds.", registry=self.registry)
        speed.set_function(lambda: batcher.tokens_per_second)
