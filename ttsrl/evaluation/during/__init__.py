"""Evaluation of published checkpoints while training continues."""
