"""Storage and quota as the gateway calls them: plain arguments in, frozen dataclasses and ReelgateErrors out."""

from services.gateway.clients.quota import QUOTA_CONTRACTS, QuotaClient
from services.gateway.clients.storage import (
    STORAGE_CONTRACT,
    IngestStep,
    Link,
    StorageClient,
    Stored,
)
from services.gateway.clients.tokens import OwnTokens

__all__ = [
    "QUOTA_CONTRACTS",
    "STORAGE_CONTRACT",
    "IngestStep",
    "Link",
    "OwnTokens",
    "QuotaClient",
    "StorageClient",
    "Stored",
]
