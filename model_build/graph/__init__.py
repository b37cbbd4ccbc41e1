"""ONNX graphs: converted, optimised, fused, calibrated."""
