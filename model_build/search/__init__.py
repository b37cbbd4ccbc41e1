"""Build every recipe and compare them."""
