"""Log, measure and capture requests."""
