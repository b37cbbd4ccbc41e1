"""What is logged, measured and kept of each request."""
