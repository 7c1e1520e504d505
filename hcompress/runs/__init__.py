"""Recipes, keys and the runner that executes them."""
