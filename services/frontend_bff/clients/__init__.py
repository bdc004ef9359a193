"""The services below, as the routes see them: proto in, the JSON of `schemas` out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from reelgate.gateway.v1 import generation_pb2, identity_pb2, model_pb2
from reelgate.quota.v1 import credit_pb2, quota_pb2
from reelgate.storage.v1 import settings_pb2, storage_pb2
from services.frontend_bff.clients.catalogue import CatalogueClient
from services.frontend_bff.clients.credits import CreditsClient
from services.frontend_bff.clients.generations import GenerationsClient
from services.frontend_bff.clients.identity import IdentityClient
from services.frontend_bff.clients.people import PeopleClient
from services.frontend_bff.clients.quota import QuotaClient
from services.frontend_bff.clients.storage import StorageClient
from services.frontend_bff.clients.storage_reports import StorageReportsClient
from services.frontend_bff.clients.storage_settings import StorageSettingsClient
from services.frontend_bff.clients.uploads import UploadsClient
from services.kernel.grpc_client import make_channel

_GATEWAY_CONTRACTS = (generation_pb2.DESCRIPTOR, identity_pb2.DESCRIPTOR, model_pb2.DESCRIPTOR)
_STORAGE_CONTRACTS = (storage_pb2.DESCRIPTOR, settings_pb2.DESCRIPTOR)
_QUOTA_CONTRACTS = (quota_pb2.DESCRIPTOR, credit_pb2.DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class Clients:
    """One client for each service of the protos that a browser needs."""

    identity: IdentityClient
    people: PeopleClient
    generations: GenerationsClient
    catalogue: CatalogueClient
    storage: StorageClient
    storage_settings: StorageSettingsClient
    storage_reports: StorageReportsClient
    uploads: UploadsClient
    quota: QuotaClient
    credits: CreditsClient


@asynccontextmanager
async def open_clients(gateway: str, storage: str, quota: str) -> AsyncIterator[Clients]:
    """Three channels, to `host:port` each, closed at the end of the block."""
    async with (
        make_channel(gateway, *_GATEWAY_CONTRACTS) as to_gateway,
        make_channel(storage, *_STORAGE_CONTRACTS) as to_storage,
        make_channel(quota, *_QUOTA_CONTRACTS) as to_quota,
    ):
        yield Clients(
            IdentityClient(to_gateway),
            PeopleClient(to_gateway),
            GenerationsClient(to_gateway),
            CatalogueClient(to_gateway),
            StorageClient(to_storage),
            StorageSettingsClient(to_storage),
            StorageReportsClient(to_storage),
            UploadsClient(to_storage),
            QuotaClient(to_quota),
            CreditsClient(to_quota),
        )
