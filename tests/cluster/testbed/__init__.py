"""A real Kubernetes cluster on one Linux machine, from package registries alone.

etcd, the control plane, containerd, a kubelet and the operators are the real programs; nodes with
GPUs are KWOK's. `python -m testbed up` starts it, `python -m testbed down` leaves nothing.
"""
