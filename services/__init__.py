"""Reelgate: the services, their kernel and the command line."""
