"""The least a gRPC server can do: answers every Admit and Settle with an empty message. Argument: host:port."""

import asyncio
import sys
from typing import Any

import grpc
import uvloop

from reelgate.quota.v1.quota_pb2 import AdmitRequest, AdmitResponse, SettleRequest, SettleResponse

_SERVICE = "reelgate.quota.v1.QuotaService"


async def admit(request: AdmitRequest, context: Any) -> AdmitResponse:
    return AdmitResponse()


async def settle(request: SettleRequest, context: Any) -> SettleResponse:
    return SettleResponse()


async def main(address: str) -> None:
    methods: dict[str, Any] = {
        "Admit": grpc.unary_unary_rpc_method_handler(
            admit, AdmitRequest.FromString, AdmitResponse.SerializeToString
        ),
        "Settle": grpc.unary_unary_rpc_method_handler(
            settle, SettleRequest.FromString, SettleResponse.SerializeToString
        ),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
    server.add_insecure_port(address)
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
