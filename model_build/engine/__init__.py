"""Build models from recipes, stage by stage, each stage once."""
