"""Compares live traffic with the data that the model was evaluated on."""
