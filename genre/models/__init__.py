"""Networks from pictures (batch, 1, height, width) to logits (batch, genres). They know neither task nor data."""
