"""The model: fetched from the store, checked, run."""
