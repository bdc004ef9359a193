"""gRPC ⇄ the service: nothing is decided here."""
