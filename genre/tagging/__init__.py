"""Tags of audio files: read for training from a library, written from predictions, restored."""
