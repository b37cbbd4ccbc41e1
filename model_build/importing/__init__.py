"""ONNX classifiers from elsewhere, checked and published."""
