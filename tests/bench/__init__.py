"""What `make bench` measures: each folder with a `__main__` is one benchmark and one section of REPORT.md."""
