"""Where bytes come from: a URL, or a stream that a caller sends."""
