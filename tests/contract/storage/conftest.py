"""The same processes as the integration tests use."""

from tests.integration.storage.conftest import (
    bucket,
    client,
    keys,
    make_storage,
    source,
    storage,
)

__all__ = ["bucket", "client", "keys", "make_storage", "source", "storage"]
