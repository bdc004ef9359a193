"""The worker: claims generations that are due, acts for them while it holds their leases, and cleans up behind them."""
