"""Reinforcement-learning post-training of speech-generating language models."""
