"""A collection before anything is trained on it: `explore.py`."""
