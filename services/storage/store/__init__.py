"""All SQL of the storage service."""
