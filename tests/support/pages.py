"""The commands that README and docs tell their readers to type."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

UNTYPED = {
    "docker build ": "its bases come from a registry; the test cluster builds the same file",
    "cosign verify ": "what a release publishes, which there is none of yet",
    "helm install ttsrl oci://": "the same; tests/cluster/test_registry.py has a registry",
    "helm pull oci://": "the same",
    "xargs -I IMAGE skopeo copy ": "no registry has these images",
    "skaffold ": "in tests/cluster/test_skaffold.py",
    "export TTSRL_STORAGE": "in tests/cluster/test_skaffold.py",
    "ttsrl pull ... ": "with an address above",
}
"""How commands begin that tests/cluster/test_pages.py does not type, each with the reason."""
NAMED = {
    *("helm install", "helm test", "helm upgrade", "helm uninstall", "helm pull", "kubectl apply"),
    *("kubectl rollout status", "ttsrl pull", "ttsrl prepare", "ttsrl job train", "ttsrl mirror"),
    "python -m compileall",
}
"""Commands that a sentence speaks of."""
PAGES = ("cluster-owner", "user", "troubleshooting")


def commands(pages: Iterable[str]) -> list[str]:
    """Every command in the text of some pages, once: lines of code blocks, and code in sentences.

    Blocks that name a language are files.
    """
    found: list[str] = []
    for page in pages:
        parts = re.split(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
        for language, block in zip(parts[1::3], parts[2::3], strict=True):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.split(" # ")[0].strip() for line in lines if not language]
        for prose in parts[::3]:
            spans = re.findall(r"`((?:kubectl|helm|ttsrl|python) [^`]+)`", prose)
            found += [" ".join(span.replace(r"\|", "|").split()) for span in spans]
    return list(dict.fromkeys(filter(None, found)))


def kubernetes_commands() -> list[str]:
    """Those of README's part on Kubernetes, and of the pages about it, that can be typed."""
    readme = Path("README.md").read_text()
    pages = [
        readme.partition("\n## On Kubernetes\n")[2].partition("\n## ")[0],
        *(Path(f"docs/{name}.md").read_text() for name in PAGES),
    ]
    return [c for c in commands(pages) if c not in NAMED and not c.startswith(tuple(UNTYPED))]
