"""Fetch the model from the store, check it and run it."""
