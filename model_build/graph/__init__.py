"""Convert, optimise, fuse and calibrate ONNX graphs."""
