"""Who calls is checked before a servicer sees the call, whatever its shape."""

import time
from typing import Any

import grpc
import jwt
import pytest

from services.kernel import context
from services.kernel.context import require_admin, require_service
from services.kernel.errors import PermissionDenied, Unauthenticated, Unavailable
from services.kernel.tokens import Signer, Verifier, generate_signing_key
from tests.contract.kernel.conftest import USER
from tests.contract.kernel.peers import SHAPES, Call, Peer, calling, served, unary_unary


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),)}


async def refused(call: Call, channel: grpc.aio.Channel, **options: Any) -> str:
    for _ in range(5):
        try:
            with pytest.raises(Unauthenticated) as caught:
                await call(channel, **options)
        except Unavailable as lost:
            # Refused while we were still sending: gRPC loses the status, and we are told to try again.
            assert lost.retry_after
        else:
            return caught.value.reason
    raise AssertionError("the refusal never arrived")


async def test_a_call_with_a_good_token_knows_its_caller(
    peer: Peer, channel: grpc.aio.Channel, call: Call, signer: Signer
) -> None:
    token = signer.sign(
        USER, audience=["quota"], lifetime_seconds=60, actor="gateway", scopes=["runs"]
    )
    await call(channel, **bearer(token))
    (caller,) = peer.callers
    assert caller is not None
    assert (caller.subject, caller.role, caller.actor) == (USER, "user", "gateway")
    assert caller.scopes == {"runs"}


async def test_a_call_without_a_token_never_reaches_the_servicer(
    peer: Peer, channel: grpc.aio.Channel, call: Call
) -> None:
    assert await refused(call, channel) == "UNAUTHENTICATED"
    assert peer.callers == []


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "bearer x.y.z", "Bearer x y"]
)
async def test_no_other_header_is_a_token(
    peer: Peer, channel: grpc.aio.Channel, header: str
) -> None:
    options = {"metadata": (("authorization", header),)}
    assert await refused(unary_unary, channel, **options) in ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert peer.callers == []


async def test_a_token_that_is_expired_forged_or_for_somebody_else_is_refused(
    peer: Peer, channel: grpc.aio.Channel, call: Call, signer: Signer
) -> None:
    now = time.time()
    claims = {"sub": USER, "aud": ["quota"], "iat": int(now), "exp": now + 60}
    stranger = Signer(generate_signing_key())
    good = signer.sign(USER, audience=["quota"], lifetime_seconds=60)
    tokens = {
        "expired": signer.sign(USER, audience=["quota"], lifetime_seconds=-6),
        "for storage": signer.sign(USER, audience=["storage"], lifetime_seconds=60),
        "another key": stranger.sign(USER, audience=["quota"], lifetime_seconds=60),
        "another issuer": jwt.encode(
            {**claims, "iss": "somebody"},
            signer._key,
            "EdDSA",
            headers={"kid": signer._kid},
        ),
        "alg none": jwt.encode({**claims, "iss": "reelgate-gateway"}, "", "none"),
        "unsigned": f"{good.rpartition('.')[0]}.",
        "other claims": f"{good.split('.')[0]}.{good.split('.')[1][:-2]}AA.{good.split('.')[2]}",
    }
    reasons = {why: await refused(call, channel, **bearer(text)) for why, text in tokens.items()}
    assert reasons.pop("expired") == "TOKEN_EXPIRED"
    assert set(reasons.values()) == {"TOKEN_INVALID"}
    assert peer.callers == []


async def test_a_public_method_is_served_to_anybody_and_knows_nobody(
    verifier: Verifier, token: str, call: Call
) -> None:
    async with served(verifier, SHAPES) as peer, calling(peer) as channel:
        await call(channel)
        await call(channel, **bearer(token))
        await call(channel, **bearer("forged"))
    assert peer.callers == [None, None, None]


async def test_being_public_is_a_matter_of_one_method(verifier: Verifier) -> None:
    first, *others = SHAPES.items()
    async with served(verifier, [first[0]]) as peer, calling(peer) as channel:
        await first[1](channel)
        for _, call in others:
            await refused(call, channel)


async def test_nothing_of_one_call_is_seen_by_the_next_on_the_same_connection(
    verifier: Verifier, signer: Signer
) -> None:
    async with (
        served(verifier, ["/reelgate.quota.v1.QuotaService/GetQuota"]) as peer,
        calling(peer) as channel,
    ):
        known = signer.sign(USER, audience=["quota"], lifetime_seconds=60)
        upload = SHAPES["/reelgate.storage.v1.StorageService/Upload"]
        await upload(channel, metadata=[*bearer(known)["metadata"], ("x-request-id", "r-1")])
        await unary_unary(channel)
    assert peer.callers[0] is not None
    assert peer.callers[1] is None
    assert peer.request_ids[0] == "r-1"
    assert peer.request_ids[1] != "r-1"


async def test_only_an_administrator_or_a_service_passes_where_that_is_asked(
    peer: Peer, channel: grpc.aio.Channel, signer: Signer
) -> None:
    def token(**who: Any) -> dict[str, Any]:
        return bearer(signer.sign(USER, audience=["quota"], lifetime_seconds=60, **who))

    async def admin_only() -> None:
        require_admin()

    async def service_only() -> None:
        require_service()

    peer.behave = admin_only
    await unary_unary(channel, **token(role="admin"))
    for who in ({}, {"actor": "gateway"}):
        with pytest.raises(PermissionDenied):
            await unary_unary(channel, **token(**who))

    peer.behave = service_only
    await unary_unary(channel, **token(actor="gateway"))
    for who in ({}, {"role": "admin"}):
        with pytest.raises(PermissionDenied):
            await unary_unary(channel, **token(**who))


async def test_health_is_told_without_a_token(channel: grpc.aio.Channel) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", "reelgate.quota.v1.QuotaService"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_token_of_the_call_being_served_is_carried_on_unless_another_is_given(
    verifier: Verifier, peer: Peer, signer: Signer, call: Call
) -> None:
    """A user's token goes from service to service; a service acting for him brings its own."""
    audience = ["quota"]
    users = signer.sign("user", audience=audience, lifetime_seconds=60)
    services = signer.sign("user", audience=audience, lifetime_seconds=60, actor="gateway")
    async with served(verifier) as front, calling(front) as to_front, calling(peer) as to_back:

        async def carry_on() -> None:
            await call(to_back)
            await call(to_back, **bearer(services))

        front.behave = carry_on
        await unary_unary(to_front, **bearer(users))
    assert [caller.actor for caller in peer.callers if caller] == ["", "gateway"]
    assert context.bearer_token.get() == ""
