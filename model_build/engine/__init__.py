"""Recipes → models, stage by stage, each stage built once."""
