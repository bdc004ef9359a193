"""The gRPC face of storage: protos in, dataclasses through, protos out."""
