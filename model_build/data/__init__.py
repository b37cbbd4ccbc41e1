"""Data sets: real digits, folders of images, synthesised pictures."""
