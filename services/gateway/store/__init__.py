"""All SQL of the gateway: one file for each thing that is stored."""
