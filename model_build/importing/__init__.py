"""Check, convert and publish ONNX classifiers from elsewhere."""
