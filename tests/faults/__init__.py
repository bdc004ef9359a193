"""Reliability: what holds while parts of the product die, hang or lie."""
