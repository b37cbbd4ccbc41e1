"""Whole runs: the local AWS, the demonstration, the deployed stack."""
