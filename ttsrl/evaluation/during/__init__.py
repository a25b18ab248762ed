"""Evaluation of published checkpoints while training goes on."""
