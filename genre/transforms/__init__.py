"""Spectrograms, views of a track, augmentation: tensors in, tensors out. The only users of torchaudio."""
