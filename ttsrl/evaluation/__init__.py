"""Evaluation of a run's models, and its report."""
