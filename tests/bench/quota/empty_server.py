"""The least a gRPC server can do: answers every Admit and Settle with an empty message. Argument: host:port."""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc


class Empty(quota_pb2_grpc.QuotaServiceServicer):
    async def Admit(self, request: Any, context: Any) -> quota_pb2.AdmitResponse:  # noqa: N802
        return quota_pb2.AdmitResponse()

    async def Settle(self, request: Any, context: Any) -> quota_pb2.SettleResponse:  # noqa: N802
        return quota_pb2.SettleResponse()


async def main(address: str) -> None:
    server = grpc.aio.server()
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(Empty(), server)
    server.add_insecure_port(address)
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
