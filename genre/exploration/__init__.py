"""Exploring a collection before training: `explore.py`."""
