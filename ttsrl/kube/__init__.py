"""ttsrl on Kubernetes: what the objects of a Helm release are called, and what they hold."""
