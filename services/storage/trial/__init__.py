"""Settings are tried, step by step, and what goes wrong is told with its cure."""
