"""Quantise ONNX graphs."""
