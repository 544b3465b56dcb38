"""A trained model on new music."""
