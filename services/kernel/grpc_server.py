"""A gRPC server with the house's interceptor and limits, health, and a drain at its end."""

import errno
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.kernel.grpc_interceptor import ServerInterceptor
from services.kernel.tokens import Verifier

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024

SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 1000),
    # Round-robin clients meet new replicas when their connections end; the grace lets calls finish.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Our clients ping every 20 s, also when idle: without both of these a server takes that for abuse.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)


def make_server(verifier: Verifier, public_methods: Iterable[str] = ()) -> grpc.aio.Server:
    """A server with the house's interceptor and limits, to add servicers to."""
    return grpc.aio.server(
        interceptors=[ServerInterceptor(verifier, public_methods)],
        options=SERVER_OPTIONS,
    )


@asynccontextmanager
async def serving(
    server: grpc.aio.Server,
    listen: str,
    services: Iterable[str],
    *,
    drain_seconds: float,
    with_reflection: bool = False,
) -> AsyncIterator[int]:
    """Serves while the block runs, with health (and reflection); yields the port.

    At its end no new call is taken, and those in flight have `drain_seconds` to finish. Raises OSError when
    the port is taken.
    """
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = (*services, health.SERVICE_NAME)
    if with_reflection:
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise OSError(errno.EADDRINUSE, f"gRPC can not listen on {listen}") from error
    await server.start()
    try:
        for name in ("", *services):
            await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        yield port
    finally:
        await health_servicer.enter_graceful_shutdown()
        await server.stop(drain_seconds)
