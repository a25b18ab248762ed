"""Checkpoints of other programs <-> Hugging Face folders, and what a policy's folder must hold."""
