"""Where things are in the checkout, from wherever a test is."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "examples/tiny"
"""The tiny stack: its models, texts and run.json."""
