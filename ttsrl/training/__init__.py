"""Jobs of a run."""
