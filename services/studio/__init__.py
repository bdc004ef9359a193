"""The studio: an upstream that speaks OpenAI's Videos and Images APIs and really renders, on the CPU.

It makes the first prompt work on a laptop without any account, and it is the tests' upstream: how it
behaves can be set (see README.md). It is not for production.
"""
