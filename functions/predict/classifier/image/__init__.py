"""Image files → pixels, within limits."""
