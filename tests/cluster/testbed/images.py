"""Images: ttsrl's three from one Dockerfile, the operators' from scratch; their way to containerd.

buildah builds them, on a base that debootstrap makes where no registry is within reach. containerd
then gets only the blobs that it lacks, so that a change of code costs seconds, not gigabytes.
"""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from . import node
from .paths import CACHE, REPOSITORY, VERSION
from .processes import run, wait
from .tools import binary, tool_image

STORAGE = CACHE / "images/storage"
RUN_ROOT = "/run/ttsrl-buildah"
FOLDERS = ["--root", STORAGE, "--runroot", RUN_ROOT, "--storage-driver", "overlay"]
TEMPORARY = CACHE / "images/tmp"  # buildah's, with uv's downloads
# In Docker's own format, so that a build through its API finds these layers.
BUILD = ["build-using-dockerfile", "--format", "docker"]
PODMAN = """\
[containers]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
BASE = "localhost/ttsrl-base:bookworm"
TTSRL = ("reward", "train", "jobs")  # targets of the Dockerfile
ON_CPUS = {
    "BASE": BASE,
    "TRAIN_BASE": BASE,
    "TRAIN_EXTRAS": "train mlflow",
    "REWARD_EXTRAS": "reward mlflow",
}

# Operators' images: where upstream's manifests expect each binary.
ENTRYPOINTS = {
    "pause": {"pause": "/pause"},
    "kuberay": {"kuberay-operator": "/manager"},
    "training-operator": {"training-operator": "/manager"},
    "keda": {
        "keda-operator": "/keda",
        "keda-adapter": "/keda-adapter",
        "keda-webhooks": "/keda-admission-webhooks",
    },
    "prometheus": {"prometheus": "/bin/prometheus"},
    "prometheus-operator": {
        "prometheus-config-reloader": "/bin/prometheus-config-reloader",
        "prometheus-operator": "/bin/operator",
    },
    "kueue": {"kueue": "/manager"},
    "jobset": {"jobset": "/manager"},
    "trainer": {"trainer": "/manager"},
}


def ttsrl_image(name: str) -> str:
    return f"docker.io/library/ttsrl-{name}:{VERSION}"


def buildah(*arguments: str | Path) -> str:
    return _with_storage("buildah", *FOLDERS, *arguments)


def _with_storage(*command: str | Path) -> str:
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    return run(*command, env={**os.environ, "TMPDIR": str(TEMPORARY)})


def build_ttsrl(name: str) -> None:
    """Build one of the three images for CPUs; unchanged layers are taken as they are."""
    _build_base()
    buildah(
        *(*BUILD, "--layers", "--isolation", "chroot", "--network", "host"),
        *("--pull-never", *(f"--build-arg={key}={value}" for key, value in ON_CPUS.items())),
        *("--file", REPOSITORY / "images/Dockerfile", "--target", name, "--tag", ttsrl_image(name)),
        REPOSITORY,
    )


def prune() -> None:
    """Remove what earlier builds left: a changed uv.lock leaves gigabytes that no image needs."""
    buildah("rm", "--all")  # of builds that were killed: an image that they use cannot be removed
    ours = {ttsrl_image(name) for name in TTSRL}
    # skaffold gives each commit's images a name of their own
    if others := [name for name in _names() if "/ttsrl-" in name and name not in ours | {BASE}]:
        buildah("rmi", *others)
    buildah("rmi", "--prune")


def build_tool(name: str) -> None:
    """An image of static binaries and an empty /tmp."""
    if _is_built(tool_image(name)):
        return
    with TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        (root / "tmp").mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        for program, path in ENTRYPOINTS[name].items():
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(binary(program), root / path[1:])
        main = json.dumps([list(ENTRYPOINTS[name].values())[-1]])
        _build(Path(folder), tool_image(name), f"USER 65532:65532\nENTRYPOINT {main}\n")


def load(images: list[str], machine: node.TestbedHost = node.FIRST) -> None:
    """Bring images into a machine's containerd.

    Where it has just started it removes what older images leave, at times a layer that these need.
    """
    for _ in range(3):
        if _imported(images, machine):
            return
    raise RuntimeError("containerd did not take the images; its words are above")


def _imported(images: list[str], machine: node.TestbedHost) -> bool:
    with TemporaryDirectory(dir=CACHE) as folder:
        layout = Path(folder)
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True)
        # Blobs that lie in the layout already are not written again.
        known = _blobs(machine)
        for path in {**_blobs(node.FIRST), **known}.values():
            os.link(path, blobs / path.name)
        storage = f"containers-storage:[overlay@{STORAGE}+{RUN_ROOT}]"
        for image in images:
            # Uncompressed, a layer has the same name here and there; buildah's push compresses.
            copy = ["copy", "--quiet", "--dest-oci-accept-uncompressed-layers"]
            _with_storage("skopeo", *copy, f"{storage}{image}", f"oci:{layout}:{image}")
        index = json.loads((layout / "index.json").read_text())
        for manifest in index["manifests"]:
            annotations = manifest["annotations"]
            annotations["io.containerd.image.name"] = annotations[
                "org.opencontainers.image.ref.name"
            ]
        (layout / "index.json").write_text(json.dumps(index))
        command = ["ctr", "--address", str(machine.containerd), "--namespace", "k8s.io"]
        importing = subprocess.Popen(
            [*command, "images", "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert importing.stdin
        with suppress(BrokenPipeError):  # it has given up
            with tarfile.open(fileobj=importing.stdin, mode="w|") as archive:
                archive.add(layout / "oci-layout", "oci-layout")
                archive.add(layout / "index.json", "index.json")
                for path in blobs.iterdir():
                    if path.name not in known:
                        archive.add(path, f"blobs/sha256/{path.name}")
            importing.stdin.close()
        return importing.wait() == 0


def _blobs(machine: node.TestbedHost) -> dict[str, Path]:
    """Name -> file of what a machine's containerd has."""
    folder = machine.containerd_root / "io.containerd.content.v1.content/blobs/sha256"
    return {path.name: path for path in folder.iterdir()} if folder.exists() else {}


@contextmanager
def docker_api() -> Generator[str]:
    """Podman on the same images and layers, for programs that know Docker alone; its address."""
    if not shutil.which("podman"):
        run("apt-get", "install", "--yes", "--no-install-recommends", "podman", "runc")
    socket, settings = Path("/run/ttsrl-podman.sock"), CACHE / "images/containers.conf"
    settings.write_text(PODMAN)
    settings_of = {"TMPDIR": str(TEMPORARY), "CONTAINERS_CONF": str(settings)}
    service = subprocess.Popen(
        ["podman", *FOLDERS, "system", "service", "--time=0", f"unix://{socket}"],
        env={**os.environ, **settings_of, "BUILDAH_ISOLATION": "chroot"},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait("podman's socket", socket.exists, 30)
        yield f"unix://{socket}"
    finally:
        service.terminate()
        service.wait()
        socket.unlink(missing_ok=True)


def _build_base() -> None:
    if _is_built(BASE):
        return
    with TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        run("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root)
        # This machine may trust authorities that Debian does not know: those of its proxies.
        certificates = "/etc/ssl/certs/ca-certificates.crt"
        shutil.copyfile(certificates, f"{root}{certificates}")
        trust = f"ENV SSL_CERT_FILE={certificates} PIP_CERT={certificates}\n"
        _build(Path(folder), BASE, trust)


def _build(folder: Path, image: str, rest: str) -> None:
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY root /\n{rest}")
    buildah(*BUILD, "--quiet", "--tag", image, folder)


def _is_built(image: str) -> bool:
    return image in _names()


def _names() -> list[str]:
    return buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
