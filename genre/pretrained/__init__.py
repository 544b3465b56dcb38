"""Trained weights that come with the program, each with a card beside it."""
