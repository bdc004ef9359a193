"""Metrics of the storage service, counted in the modules that do the work."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

TRANSFER_SECONDS: Final = Histogram(
    "reelgate_storage_transfer_seconds",
    "Time from the start of an ingest, upload or move to its end, by result (KEPT or the reason of the failure)",
    ("kind", "result"),
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
TRANSFERS_RUNNING: Final = Gauge(
    "reelgate_storage_transfers_running", "Ingests, uploads and moves under way now"
)
RECEIVED_BYTES_TOTAL: Final = Counter(
    "reelgate_storage_received_bytes_total",
    "Bytes read from sources, also those of transfers that failed",
)
SOURCE_RESUMES_TOTAL: Final = Counter(
    "reelgate_storage_source_resumes_total",
    "Requests for the rest of a download whose connection was lost: the source continued it, refused to (its "
    "answer did not fit), or failed again",
    ("result",),
)
STORED_BYTES_TOTAL: Final = Counter(
    "reelgate_storage_stored_bytes_total", "Bytes of committed objects, by tier", ("tier",)
)
SENT_BYTES_TOTAL: Final = Counter(
    "reelgate_storage_sent_bytes_total", "Bytes given out by Download, by tier", ("tier",)
)
PARTS_TOTAL: Final = Counter(
    "reelgate_storage_parts_total", "Parts written, by tier; a small object is one part", ("tier",)
)
RETRIES_TOTAL: Final = Counter(
    "reelgate_storage_retries_total",
    "Requests to S3 that were repeated, by what had gone wrong",
    ("trouble",),
)
TIER_FAILURES_TOTAL: Final = Counter(
    "reelgate_storage_tier_failures_total",
    "Transfers and deletes that a tier failed, by tier and trouble",
    ("tier", "trouble"),
)
TIER_HEALTHY: Final = Gauge(
    "reelgate_storage_tier_healthy", "1 while the tier can be used, 0 while it can not", ("tier",)
)
BUFFER_BYTES: Final = Gauge(
    "reelgate_storage_buffer_bytes",
    "Part buffers lent to transfers now, of the budget of the process",
)
BUFFER_WAIT_SECONDS: Final = Histogram(
    "reelgate_storage_buffer_wait_seconds",
    "Time a transfer waited for a part buffer",
    buckets=(0.001, 0.01, 0.1, 1, 10, 60),
)
REMOVED_TOTAL: Final = Counter(
    "reelgate_storage_removed_total", "Keys whose bytes were removed, by tier", ("tier",)
)
REMOVALS_PENDING: Final = Gauge(
    "reelgate_storage_removals_pending", "Keys whose bytes must go and are still there"
)
THUMBNAIL_SECONDS: Final = Histogram(
    "reelgate_storage_thumbnail_seconds",
    "Time to make one thumbnail, by result (MADE, or the reason why there is none)",
    ("result",),
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
