"""What is known of a job's images without pulling them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ttsrl.kube.manifests import Manifest, pods_of
from ttsrl.kube.objects import Object, entries
from ttsrl.runtime.doctor import Check


def images_for(job: Manifest, nodes: Sequence[Object] | None) -> list[Check]:
    """What is known of each image without pulling it: whether a node has it already.

    Only a node can tell whether it may pull an image: it has the credentials and the mirrors.
    """
    wanted = {
        container["image"]: None
        for pod, _ in pods_of(job)
        for container in entries(pod, "spec", "containers")
    }
    there = {
        name
        for node in nodes or ()
        for image in entries(node, "status", "images")
        for name in image.get("names") or ()
    }
    return [_image(image, there) for image in wanted]


def _image(image: str, there: set[str]) -> Check:
    host, slash, _ = image.partition("/")
    is_qualified = bool(slash) and ("." in host or ":" in host or host == "localhost")
    full = image if is_qualified else f"docker.io/{image if slash else f'library/{image}'}"
    if full in there or image in there:
        return Check(f"image {image}", "ok", "a node has it")
    found = "no node has it yet; the first pod pulls it"
    if not is_qualified:
        return Check(
            f"image {image}",
            "note",
            f"{found} from docker.io: its name has no registry",
            "set image.registry, unless it is loaded into the nodes",
        )
    return Check(
        f"image {image}", "note", found, f"see that it exists: skopeo inspect docker://{image}"
    )
