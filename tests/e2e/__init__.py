"""The whole running product, used with a real Chromium as a person uses it."""
