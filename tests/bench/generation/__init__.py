"""One generation from the wish to the kept work, with an upstream that answers at once: what it costs us."""
