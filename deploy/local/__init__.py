"""The whole of Reelgate on one machine: what `make run`, the e2e tests and the benchmarks start."""
