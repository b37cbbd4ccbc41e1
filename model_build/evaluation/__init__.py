"""Accuracy, calibration, the gate before publishing, and drift."""
