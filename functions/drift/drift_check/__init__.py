"""Live traffic compared with what the model was evaluated on."""
