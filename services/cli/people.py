"""Users, found by what an operator knows of them."""

from typing import Final

import grpc

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.kernel.errors import NotFound
from services.kernel.status import rpc_errors

_PAGE: Final = 100


async def find_user(gateway: grpc.aio.Channel, email: str) -> identity_pb2.User:
    """The user of an e-mail address. Raises NotFound, and what the gateway raises."""
    stub: identity_pb2_grpc.IdentityServiceAsyncStub = identity_pb2_grpc.IdentityServiceStub(
        gateway
    )
    request = identity_pb2.ListUsersRequest(query=email.strip().lower(), page_size=_PAGE)
    while True:
        with rpc_errors():
            page = await stub.ListUsers(request)
        for user in page.users:
            if user.email == request.query:
                return user
        if not page.next_page_token:
            raise NotFound(f"There is no user with the address {email}.")
        request.page_token = page.next_page_token
