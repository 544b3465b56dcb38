"""Export a model: python -m genre.export run=outputs/train/cnn-multiclass/2026-11-22_09-00-00 output=mine.onnx"""

from genre.commands import export_command

if __name__ == "__main__":
    export_command()
