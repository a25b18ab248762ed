"""One page that says what a run changed: offline, self-contained, nothing fetched from anywhere."""
