"""Would more music help: accuracy over the number of training tracks, extrapolated: `curve.py`."""
