"""The torch sampler: speech tokens without vLLM, the same alone and in any batch.

Imports torch and transformers, and of ttsrl its errors alone; README.md has the invariants.
"""
