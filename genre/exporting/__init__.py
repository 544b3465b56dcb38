"""A trained model in one file: from waveform to probabilities, for ONNX Runtime or PyTorch."""
