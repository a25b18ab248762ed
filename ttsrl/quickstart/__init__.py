"""The whole path on one machine: prepare, evaluate, train, publish, pull, evaluate, report."""
