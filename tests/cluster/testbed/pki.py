"""Keys, certificates and kubeconfig files of the cluster, by openssl."""

import base64
import json
from pathlib import Path

from .paths import KUBECONFIG, STATE
from .processes import run

PKI = STATE / "pki"
SERVICE_IP, DNS_IP = "10.96.0.1", "169.254.20.10"


def make(node: str, address: str) -> None:
    """Everything for one control plane and one node at `address`; nothing where it is there."""
    if KUBECONFIG.exists():
        return
    PKI.mkdir(parents=True, exist_ok=True)
    PKI.chmod(0o700)
    _key("ca")
    usage = ["-addext", "basicConstraints=critical,CA:TRUE"]
    usage += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    authority = ["-key", PKI / "ca.key", "-subj", "/CN=ttsrl-cluster", "-out", PKI / "ca.crt"]
    run("openssl", "req", "-x509", "-new", "-days", "365", *authority, *usage)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    names += ["kubernetes.default.svc.cluster.local"]
    addresses = f"IP:{address},IP:127.0.0.1"
    api = ",".join(f"DNS:{name}" for name in names) + f",IP:{SERVICE_IP},{addresses}"
    _certificate("apiserver", "/CN=kube-apiserver", api)
    _certificate("apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet")
    _certificate("front-proxy", "/CN=front-proxy-client")
    kubelet = f"/O=system:nodes/CN=system:node:{node}"
    _certificate("kubelet", kubelet, f"DNS:{node},{addresses}")
    _certificate("kube-controller-manager", "/CN=system:kube-controller-manager")
    _certificate("kube-scheduler", "/CN=system:kube-scheduler")
    _certificate("kube-proxy", "/CN=system:kube-proxy")
    _certificate("admin", "/O=system:masters/CN=admin")
    run("openssl", "genrsa", "-out", PKI / "accounts.key", "2048")
    run("openssl", "rsa", "-in", PKI / "accounts.key", "-pubout", "-out", PKI / "accounts.pub")
    for user in ("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "admin"):
        _kubeconfig(user, f"https://{address}:6443")


def _server() -> str:
    """Address of the API server, as the first kubeconfig has it."""
    [cluster] = json.loads(KUBECONFIG.read_text())["clusters"]
    return cluster["cluster"]["server"]


def second_kubelet(node: str, address: str) -> None:
    """For a kubelet of another name at another address."""
    if not kubeconfig("kubelet1").exists():
        subject = f"/O=system:nodes/CN=system:node:{node}"
        _certificate("kubelet1", subject, f"DNS:{node},IP:{address}")
        _kubeconfig("kubelet1", _server())


def kubeconfig(user: str) -> Path:
    return STATE / f"{user}.conf"


def _key(name: str) -> None:
    key = PKI / f"{name}.key"
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    key.chmod(0o600)


def _certificate(name: str, subject: str, names: str = "") -> None:
    _key(name)
    request, extensions = PKI / f"{name}.csr", PKI / f"{name}.ext"
    run("openssl", "req", "-new", "-key", PKI / f"{name}.key", "-subj", subject, "-out", request)
    extensions.write_text(
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
        + (f"subjectAltName={names}\n" if names else "")
    )
    signer = ["-CA", PKI / "ca.crt", "-CAkey", PKI / "ca.key", "-CAcreateserial", "-days", "365"]
    wanted = ["-in", request, "-extfile", extensions, "-out", PKI / f"{name}.crt"]
    run("openssl", "x509", "-req", *signer, *wanted)


def _kubeconfig(user: str, server: str) -> None:
    def data(name: str) -> str:
        return base64.b64encode((PKI / name).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": data("ca.crt")}
    keys = {
        "client-certificate-data": data(f"{user}.crt"),
        "client-key-data": data(f"{user}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "ttsrl", "cluster": cluster}],
        "users": [{"name": user, "user": keys}],
        "contexts": [{"name": "ttsrl", "context": {"cluster": "ttsrl", "user": user}}],
        "current-context": "ttsrl",
    }
    path = kubeconfig(user)
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
