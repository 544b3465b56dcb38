"""Measure a run's best checkpoint: python evaluate.py run=outputs/train/cnn-multiclass/2026-11-22_09-00-00"""

from genre.commands import evaluate_command

if __name__ == "__main__":
    evaluate_command()
