"""The gateway: people, accounts, and generations from the wish to the kept work."""
