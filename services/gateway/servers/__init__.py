"""gRPC servicers: proto ⇄ dataclass, and nothing else."""
