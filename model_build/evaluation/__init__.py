"""Measure accuracy, calibration and drift; the gate before publishing."""
