"""Models and public settings (H2), and the services that come later."""

import importlib.metadata
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import (
    account_pb2,
    account_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    completion_pb2,
    completion_pb2_grpc,
    settings_pb2,
    settings_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)
from services.gateway.catalogue import Catalogue
from services.gateway.prices import Price
from services.kernel.errors import Unimplemented
from services.kernel.status import rpc_errors
from tests.contract.gateway.identity.running import Gateway

pytestmark = pytest.mark.usefixtures("quick_hashes")


async def serve(gateway: Gateway, name: str = "Studio", **columns: Any) -> None:
    """One more upstream account."""
    values = {"dialect": "openai_videos", "models": (), **columns}
    await gateway.accounts.seed(
        name, base_url="http://127.0.0.1:1", credential="secret", options={}, **values
    )


async def model_ids(gateway: Gateway) -> list[str]:
    """What is offered."""
    answer = await gateway.bearer(gateway.token()).ListModels()
    return [model.id for model in answer.models]


async def test_without_an_account_nothing_is_offered(gateway: Gateway) -> None:
    assert await model_ids(gateway) == []
    assert not (await gateway.stranger.GetPublicSettings()).client_enabled


async def test_an_account_that_serves_all_offers_all_its_dialect_can(gateway: Gateway) -> None:
    await serve(gateway)
    ids = await model_ids(gateway)
    assert ids[:3] == ["sora2-landscape-10s", "sora2-landscape-15s", "sora2-landscape-25s"]
    assert "sora2pro-hd-portrait-15s" in ids
    assert len(ids) == len(set(ids))


async def test_an_account_offers_no_more_than_it_names(gateway: Gateway) -> None:
    await serve(gateway, models=("sora2-portrait-10s", "somebody-elses"))
    await serve(gateway, "Other", models=("sora2-landscape-10s",))
    await serve(gateway, "Strange", dialect="unheard_of")
    assert await model_ids(gateway) == ["sora2-landscape-10s", "sora2-portrait-10s"]


@pytest.mark.parametrize("status", ["disabled", "error"])
async def test_an_account_out_of_service_offers_nothing(gateway: Gateway, status: str) -> None:
    await serve(gateway)
    assert (await gateway.stranger.GetPublicSettings()).client_enabled
    await gateway.sql("UPDATE accounts SET status = %s", status)
    assert await model_ids(gateway) == []
    assert not (await gateway.stranger.GetPublicSettings()).client_enabled


async def test_a_model_says_what_it_makes(gateway: Gateway) -> None:
    await serve(gateway)
    answer = await gateway.bearer(gateway.token()).ListModels()
    model = next(model for model in answer.models if model.id == "sora2-portrait-15s")
    assert (model.family, model.name, model.orientation) == ("sora2", "Sora 2", "portrait")
    assert model.media_type == media_pb2.MEDIA_TYPE_VIDEO
    assert model.duration.seconds == 15
    assert model.credits > 0
    assert model.parameters_schema["type"] == "object"
    assert not model.HasField("shutdown_time")


async def test_g8_a_model_costs_what_is_set_for_it_else_what_the_catalogue_says(
    gateway: Gateway,
) -> None:
    await serve(gateway, models=("sora2-portrait-10s", "sora2-portrait-15s"))
    began = datetime(2026, 1, 1, tzinfo=UTC)
    gateway.prices.list = [Price("sora2-portrait-15s", 0, 99, began)]
    first, second = (await gateway.bearer(gateway.token()).ListModels()).models
    own = next(model for model in Catalogue.default() if model.id == first.id)
    assert (first.credits, second.credits) == (own.credits, 99)


async def test_g8_without_quota_the_models_can_still_be_looked_at(gateway: Gateway) -> None:
    await serve(gateway)
    gateway.prices.list = None
    assert "sora2-landscape-10s" in await model_ids(gateway)


async def test_the_public_settings_need_no_token(gateway: Gateway) -> None:
    answer = await gateway.stranger.GetPublicSettings()
    assert not answer.registration_enabled
    assert answer.default_locale == "en"
    assert answer.version == importlib.metadata.version("reelgate")


async def test_the_public_settings_say_that_anyone_can_register(open_gateway: Gateway) -> None:
    assert (await open_gateway.stranger.GetPublicSettings()).registration_enabled


async def test_what_comes_later_says_so(gateway: Gateway) -> None:
    channel = gateway.channel
    metadata = (("authorization", f"Bearer {gateway.token(role='admin')}"),)
    calls = (
        (
            account_pb2_grpc.AccountServiceStub(channel).ListAccounts,
            account_pb2.ListAccountsRequest,
        ),
        (account_pb2_grpc.AccountServiceStub(channel).TestAccount, account_pb2.TestAccountRequest),
        (webhook_pb2_grpc.WebhookServiceStub(channel).GetWebhook, webhook_pb2.GetWebhookRequest),
        (
            settings_pb2_grpc.SettingsServiceStub(channel).GetSettings,
            settings_pb2.GetSettingsRequest,
        ),
        (
            audit_pb2_grpc.AuditServiceStub(channel).ListAuditEntries,
            audit_pb2.ListAuditEntriesRequest,
        ),
    )
    for method, request in calls:
        call: Any = method
        with pytest.raises(Unimplemented, match="not available in this version yet"), rpc_errors():
            await call(request(), metadata=metadata)


async def test_a_stream_that_comes_later_says_so(gateway: Gateway) -> None:
    async def requests() -> AsyncIterator[completion_pb2.ForwardRequest]:
        yield completion_pb2.ForwardRequest()

    stub: Any = completion_pb2_grpc.CompletionServiceStub(gateway.channel)
    metadata = (("authorization", f"Bearer {gateway.token()}"),)
    with pytest.raises(Unimplemented, match="not available in this version yet"), rpc_errors():
        async for _ in stub.Forward(requests(), metadata=metadata):
            pass
