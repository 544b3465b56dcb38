"""Predict genres: python predict.py run=outputs/train/cnn-multiclass/2026-11-22_09-00-00 input=~/music"""

from genre.commands import predict_command

if __name__ == "__main__":
    predict_command()
