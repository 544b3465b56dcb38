"""A page on which one hears a song and sees what a trained model says about it."""
