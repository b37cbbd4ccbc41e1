"""Answers for whole folders of images."""
