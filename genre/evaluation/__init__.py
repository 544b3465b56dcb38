"""What a trained model is worth, and how that is shown: metrics, reports, figures, comparisons."""
