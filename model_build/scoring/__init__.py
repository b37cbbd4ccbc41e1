"""Classify whole folders of images."""
