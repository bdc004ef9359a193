"""Campaigns against the storage service."""
