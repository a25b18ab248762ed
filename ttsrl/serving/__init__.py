"""The reward service: utterances in, one typed outcome each out."""
