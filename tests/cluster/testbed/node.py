"""Control plane, container runtime, kubelet, proxy and DNS: host processes of one machine.

The choices that look odd are for machines as virtual machines and CI runners are: cgroup v1, no
CAP_SYS_RESOURCE (no process may lower an oom_score_adj), no systemd, two cores.
"""

import json
import os
import shutil
import socket
import textwrap
from dataclasses import dataclass
from pathlib import Path

import grpc

from . import pki
from .paths import CACHE, KUBECONFIG, STATE, TestbedError
from .pki import DNS_IP, PKI
from .processes import RUN, run, start, wait
from .tools import binary, tool_image

TAINT = "ttsrl.dev/second"
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"


@dataclass(frozen=True)
class TestbedHost:
    """A kubelet with its own containerd, network and control groups: to Kubernetes, a node."""

    name: str
    number: int

    @property
    def suffix(self) -> str:
        """Of the names of its processes and files."""
        return str(self.number or "")

    @property
    def containerd(self) -> Path:
        """containerd's socket."""
        return RUN / f"containerd{self.suffix}.sock"

    @property
    def containerd_root(self) -> Path:
        """Kept by `down`: what was imported stays imported."""
        return CACHE / f"containerd{self.suffix}"

    @property
    def bridge(self) -> str:
        return f"ttsrl{self.number}"

    @property
    def address(self) -> str:
        return address() if self.number == 0 else f"198.51.100.{self.number}"

    @property
    def taints(self) -> list[dict[str, str]]:
        """Which keep away the pods of tests that do not want to lose a machine."""
        return [{"key": TAINT, "value": "true", "effect": "NoSchedule"}] if self.number else []

    @property
    def cgroup(self) -> str:
        """Parent of the control groups of its pods."""
        return f"/ttsrl{self.number}" if self.number else "/"

    def ctr(self, *arguments: str | Path, check: bool = True) -> str:
        names = ("--address", self.containerd, "--namespace", "k8s.io")
        return run("ctr", *names, *arguments, check=check)


FIRST = TestbedHost(socket.gethostname(), 0)
SECOND = TestbedHost("ttsrl-second", 1)
NODE = FIRST.name
PACKAGES = {  # program -> package of Debian
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "debootstrap": "debootstrap",
    "openssl": "openssl",
}
CNI_PLUGINS = Path("/usr/lib/cni")


def require_machine() -> None:
    """Root, and Debian's packages; installs what is missing. Raises TestbedError."""
    if os.geteuid() != 0:
        raise TestbedError(
            "the test cluster needs root (containers, network interfaces); run it as root, or set "
            "KUBECONFIG to a cluster to test in"
        )
    missing = sorted({pkg for program, pkg in PACKAGES.items() if not shutil.which(program)})
    if not (CNI_PLUGINS / "bridge").exists():
        missing.append("containernetworking-plugins")
    if missing:
        if not shutil.which("apt-get"):
            raise TestbedError(f"these programs are missing, and apt-get too: {', '.join(missing)}")
        run("apt-get", "update")
        run("apt-get", "install", "--yes", "--no-install-recommends", *missing)


def address() -> str:
    """The machine's own address, which pods reach."""
    for link in json.loads(run("ip", "-json", "-4", "addr", "show", "scope", "global")):
        if link["ifname"] != "lo" and not link["ifname"].startswith(("ttsrl", "cni", "docker")):
            return link["addr_info"][0]["local"]
    raise TestbedError("this machine has no network interface with an address")


def kubectl(*arguments: str | Path, input: str | None = None, check: bool = True) -> str:
    command = [binary("kubectl"), "--kubeconfig", KUBECONFIG, *arguments]
    return run(*command, input=input, check=check)


def up() -> None:
    """Start everything that does not run; the node is Ready when it returns."""
    pki.make(NODE, address())
    _control_plane()
    _dns()
    start_runtime(FIRST)
    _proxy()
    start_kubelet(FIRST)


def _control_plane() -> None:
    clients = "http://127.0.0.1:2379"
    start(
        *("etcd", binary("etcd"), "--data-dir", STATE / "etcd", "--unsafe-no-fsync"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients),
        *("--listen-peer-urls", "http://127.0.0.1:2380"),
    )
    issuer = "https://kubernetes.default.svc.cluster.local"
    start(
        *("kube-apiserver", binary("kube-apiserver"), f"--etcd-servers={clients}"),
        *("--secure-port=6443", f"--advertise-address={address()}"),
        *(f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=Node,RBAC"),
        *("--allow-privileged=true", "--enable-admission-plugins=NodeRestriction"),
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--service-account-key-file={PKI}/accounts.pub",
        f"--service-account-signing-key-file={PKI}/accounts.key",
        f"--service-account-issuer={issuer}",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        # KEDA's metrics are an aggregated API, reached by the address of its pod
        *("--enable-aggregator-routing=true", "--requestheader-allowed-names=front-proxy-client"),
        f"--requestheader-client-ca-file={PKI}/ca.crt",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={PKI}/front-proxy.crt",
        f"--proxy-client-key-file={PKI}/front-proxy.key",
    )
    wait(
        "the API server's readiness",
        lambda: kubectl("get", "--raw", "/readyz", check=False) == "ok",
        90,
        "kube-apiserver",
    )
    for name, flags in {
        "kube-scheduler": (),
        "kube-controller-manager": (
            f"--service-account-private-key-file={PKI}/accounts.key",
            f"--root-ca-file={PKI}/ca.crt",
            f"--cluster-signing-cert-file={PKI}/ca.crt",
            f"--cluster-signing-key-file={PKI}/ca.key",
            *("--use-service-account-credentials=true", "--allocate-node-cidrs=true"),
            *(f"--cluster-cidr={PODS}", f"--service-cluster-ip-range={SERVICES}"),
            # tests need not wait as long as operations should
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-downscale-stabilization=10s",
            # of two busy cores a fake node does not hear in time that it is there
            "--node-monitor-grace-period=120s",
        ),
    }.items():
        config = pki.kubeconfig(name)
        files = [f"--{use}kubeconfig={config}" for use in ("", "authentication-", "authorization-")]
        start(name, binary(name), *files, "--leader-elect=false", *flags)


def start_runtime(machine: TestbedHost) -> None:
    """containerd, with a network of its own."""
    network = STATE / f"cni{machine.suffix}"
    network.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": machine.bridge,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(STATE / f"cni-addresses{machine.suffix}"),
            "ranges": [[{"subnet": f"10.244.{100 * machine.number}.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    (network / "10-ttsrl.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "ttsrl", "plugins": plugins})
    )
    config = STATE / f"containerd{machine.suffix}.toml"
    # restrict_oom_score_adj: without it no sandbox starts where CAP_SYS_RESOURCE is missing.
    config.write_text(
        textwrap.dedent(f"""\
            version = 2
            root = "{machine.containerd_root}"
            state = "{RUN}/containerd{machine.suffix}"
            [grpc]
              address = "{machine.containerd}"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "{tool_image("pause")}"
              restrict_oom_score_adj = true
              [plugins."io.containerd.grpc.v1.cri".cni]
                bin_dir = "{CNI_PLUGINS}"
                conf_dir = "{network}"
              [plugins."io.containerd.grpc.v1.cri".containerd]
                snapshotter = "overlayfs"
                [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
                  runtime_type = "io.containerd.runc.v2"
            """)
    )
    name = f"containerd{machine.suffix}"
    start(name, "containerd", "--config", config)
    wait("containerd's start", lambda: _answers_kubelets(machine), 120, name)


def _answers_kubelets(machine: TestbedHost) -> bool:
    """A kubelet that finds a containerd whose own parts are up, but not this one, ends at once."""
    with grpc.insecure_channel(f"unix://{machine.containerd}") as channel:
        try:
            # VersionRequest is empty, and any answer will do
            channel.unary_unary("/runtime.v1.RuntimeService/Version")(b"", timeout=5)
        except grpc.RpcError:
            return False
    return True


def _dns() -> None:
    """CoreDNS on an address of the loopback interface: pods reach it through their gateway."""
    run("ip", "address", "replace", f"{DNS_IP}/32", "dev", "lo")
    corefile = STATE / "Corefile"
    corefile.write_text(
        textwrap.dedent(f"""\
            cluster.local:53 in-addr.arpa:53 {{
              bind {DNS_IP}
              errors
              kubernetes cluster.local in-addr.arpa {{
                kubeconfig {KUBECONFIG}
                pods insecure
                ttl 5
              }}
            }}
            .:53 {{
              bind {DNS_IP}
              errors
              forward . /etc/resolv.conf
            }}
            """)
    )
    start("coredns", binary("coredns"), "-conf", corefile)


def _proxy() -> None:
    start(
        *("kube-proxy", binary("kube-proxy"), f"--kubeconfig={pki.kubeconfig('kube-proxy')}"),
        *("--proxy-mode=iptables", f"--cluster-cidr={PODS}", f"--hostname-override={NODE}"),
        *("--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"),
        *("--conntrack-tcp-timeout-close-wait=0", "--oom-score-adj=0"),
    )


def start_kubelet(machine: TestbedHost) -> None:
    """The node is Ready when it returns."""
    name = f"kubelet{machine.suffix}"
    folder = STATE / name
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{machine.containerd}",
        "authentication": {
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/{name}.crt",
        "tlsPrivateKeyFile": f"{PKI}/{name}.key",
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": machine.cgroup,
        "port": 10250 + machine.number,
        "healthzPort": 10260 + machine.number,
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "volumePluginDir": str(folder / "plugins"),
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
        "registerWithTaints": machine.taints,
    }
    path = STATE / f"{name}.json"
    path.write_text(json.dumps(config))
    start(
        *(name, binary("kubelet"), f"--kubeconfig={pki.kubeconfig(name)}"),
        *(f"--config={path}", f"--root-dir={folder}", f"--cert-dir={folder}/pki"),
        *(f"--hostname-override={machine.name}", f"--node-ip={machine.address}"),
        "--node-labels=ttsrl.dev/pool=cpu",
    )
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    wait(
        "the node's readiness",
        lambda: kubectl("get", "node", machine.name, "-o", ready, check=False) == "True",
        120,
        name,
    )
