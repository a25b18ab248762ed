"""NetworkPolicies, enforced by kube-router on the first machine: its firewall alone, no routes."""

import shutil

from . import pki
from .node import NODE, SERVICES
from .processes import run, start
from .processes import stop as stop_process
from .tools import binary

PARTS = ("router", "service-proxy", "loadbalancer")
"""Of kube-router, which kube-proxy and the CNI plugins are here."""


def up() -> None:
    """Start it; what is new is enforced within seconds."""
    if not shutil.which("ipset"):
        run("apt-get", "install", "--yes", "--no-install-recommends", "ipset")
    start(
        *("kube-router", binary("kube-router"), f"--kubeconfig={pki.kubeconfig('admin')}"),
        *("--run-firewall=true", *(f"--run-{part}=false" for part in PARTS)),
        *(f"--hostname-override={NODE}", f"--service-cluster-ip-range={SERVICES}"),
        *("--enable-cni=false", "--health-port=0", "--metrics-port=0"),
    )


def stop() -> None:
    """End it, and let everything through again."""
    stop_process("kube-router")
    run(binary("kube-router"), "--cleanup-config", check=False)
