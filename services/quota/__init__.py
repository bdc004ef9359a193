"""The quota service: what a user may keep, what he keeps, and what is spoken for while it is being made."""
