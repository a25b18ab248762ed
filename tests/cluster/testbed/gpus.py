"""Fake nodes with GPUs, kept by KWOK: pods are really scheduled on them, and do not run."""

from typing import Any

FAKE = "kwok.x-k8s.io/node"
NOT_OF_TRAINING = {
    "key": '.metadata.labels["app.kubernetes.io/component"]',
    "operator": "NotIn",
    "values": ["train"],
}
"""For the stage that completes pods of Jobs at once: a TrainJob, which is a Job too, continues."""


def nodes() -> list[dict[str, Any]]:
    """Three nodes of 4 A6000 for rewards, two of 8 A100 for training, as GFD labels them."""
    return [
        *(gpu_node(f"a6000-{i}", "NVIDIA-RTX-A6000", "reward", 4) for i in (1, 2, 3)),
        *(gpu_node(f"a100-{i}", "NVIDIA-A100-SXM4-80GB", "train", 8) for i in (1, 2)),
    ]


def gpu_node(name: str, product: str, pool: str, count: int) -> dict[str, Any]:
    """One node, which KWOK keeps alive."""
    capacity = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(count)}
    capacity["ephemeral-storage"] = "4Ti"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "nvidia.com/gpu.product": product,
        "ttsrl.dev/pool": pool,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {FAKE: "fake"}, "labels": labels},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
