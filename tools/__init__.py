"""Programs for this repository itself: checks, coverage, releases. Not in the wheel."""
