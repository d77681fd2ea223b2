"""What operators see of the calls to providers (Prometheus; names after its conventions)."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.inference.models import Model

_LABELS = ("provider", "model")
_HEAD_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class InferenceMetrics:
    """Counters of tries, retries and fallbacks, and how long providers take to begin their answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tries = Counter(
            "heddle_upstream_tries",
            "Requests sent to a provider, by how they ended before the answer's body (ok, or an error code).",
            (*_LABELS, "outcome"),
            registry=registry,
        )
        self._retries = Counter(
            "heddle_upstream_retries", "Requests sent again to the same provider.", _LABELS, registry=registry
        )
        self._fallbacks = Counter(
            "heddle_upstream_fallbacks",
            "Requests sent to this provider and model because those before it failed.",
            _LABELS,
            registry=registry,
        )
        self._head_seconds = Histogram(
            "heddle_upstream_head_seconds",
            "Seconds from sending a request to the head of its answer.",
            _LABELS,
            buckets=_HEAD_BUCKETS_S,
            registry=registry,
        )

    def tried(self, model: Model, outcome: str, seconds: float) -> None:
        labels = _labels(model)
        self._tries.labels(*labels, outcome).inc()
        if outcome == "ok":
            self._head_seconds.labels(*labels).observe(seconds)

    def retried(self, model: Model) -> None:
        self._retries.labels(*_labels(model)).inc()

    def fell_back(self, model: Model) -> None:
        self._fallbacks.labels(*_labels(model)).inc()


def _labels(model: Model) -> tuple[str, str]:
    """By the provider's own name for the model: aliases are ways to it, not models."""
    return model.provider.name, model.upstream_name
