"""Bytes without a row and rows without bytes."""
