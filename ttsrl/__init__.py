"""Reinforcement-learning post-training of speech-generating language models."""

import os

# onnxruntime 1.30 and later send telemetry to Microsoft from Linux, too, and leave session files in
# the temporary folder. It reads this when it is imported, so it is set before anything else is.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
