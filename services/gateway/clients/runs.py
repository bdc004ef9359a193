"""A run as the contracts have it."""

from reelgate.common.v1 import run_pb2
from services.gateway.generations import Generation


def run_message(generation: Generation, token: int) -> run_pb2.Run:
    """The generation's present run, for whoever has the lease with this token."""
    return run_pb2.Run(generation_id=str(generation.id), number=generation.run, lease_token=token)
