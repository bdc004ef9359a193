"""The quota service against an empty gRPC call, and against pgbench running the same statements."""
