"""What a browser or a program sees: HTTP in, gRPC out. No database, no rules."""
