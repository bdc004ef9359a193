"""How long `make run` takes until the product answers, the first time in a home and later."""
