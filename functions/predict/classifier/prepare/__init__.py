"""Pixels → the tensor that the model takes."""
