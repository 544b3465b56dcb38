"""Metrics, reports, figures and comparisons of trained models."""
