"""Every combination of a grid once, whoever is interrupted: `sweep.py`."""
