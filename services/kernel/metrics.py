"""Metrics that every service has. Others are declared, as documented constants, where they are counted."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RPC_BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    60,
    600,
)

RPC_SERVED_SECONDS: Final = Histogram(
    "reelgate_rpc_served_seconds",
    "Time to serve a gRPC call, by method and status code",
    ("method", "code"),
    buckets=RPC_BUCKETS,
)
RPC_IN_FLIGHT: Final = Gauge("reelgate_rpc_in_flight", "gRPC calls being served now", ("method",))
RPC_SENT_TOTAL: Final = Counter(
    "reelgate_rpc_sent_total", "gRPC calls made to other services, by method", ("method",)
)
RPC_FAILED_TOTAL: Final = Counter(
    "reelgate_rpc_failed_total",
    "gRPC calls to other services that ended with an error, by status code",
    ("code",),
)
ERRORS_TOTAL: Final = Counter(
    "reelgate_unexpected_errors_total",
    "Errors nobody foresaw; each is in the log with its trace",
    ("where",),
)
