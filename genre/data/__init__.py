"""From files to batches: catalogues, splits, stores, and the data module that training and evaluation read."""
