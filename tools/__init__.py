"""What `make` runs besides the model build: a local AWS, and the demonstration on it."""
