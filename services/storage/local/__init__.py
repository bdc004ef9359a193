"""The local tier."""
