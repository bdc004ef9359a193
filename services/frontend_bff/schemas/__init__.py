"""The JSON of the HTTP API: what is read (`requests`) and what is written (`answers`)."""
