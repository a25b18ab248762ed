"""mkdocs' hook: pages from outside docs/, and links that work on GitHub and on the site.

A link to a file that the site does not have leads to the repository, if mkdocs.yml has a
`repo_url`; otherwise its text stays.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # mkdocs has an environment of its own
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/tiny/README.md": "tiny.md",
    "helm/README.md": "chart.md",
    "tests/cluster/README.md": "cluster-tests.md",
    "ttsrl/sampler/README.md": "sampler.md",
    "ttsrl/scorers/whisper/README.md": "whisper.md",
}
"""Pages outside docs/ -> their names on the site."""

CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```$|`[^`\n]+`)"
    r"|\[(?P<text>[^]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)",
    re.MULTILINE | re.DOTALL,
)
"""A block or span of code, which stays as it is, or a relative link."""


def rewrite_links(markdown: str, source: str, repository: str | None) -> str:
    """A page, whose path in the repository is `source`, with the links that the site needs."""

    def rewrite(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["path"]))
        anchor = found["anchor"] or ""
        if page := _page(path):
            here = posixpath.dirname(_page(source) or "")
            return f"[{found['text']}]({posixpath.relpath(page, here or '.')}{anchor})"
        if not (ROOT / path).exists():
            return found[0]  # mkdocs says that it leads nowhere
        if repository is None:
            return found["text"]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{found['text']}]({repository.rstrip('/')}/{kind}/main/{path}{anchor})"

    return CODE_OR_LINK.sub(rewrite, markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/."""
    from mkdocs.structure.files import File

    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page."""
    sources = {name: source for source, name in OUTSIDE.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return rewrite_links(markdown, source, config.repo_url)


def _page(path: str) -> str | None:
    """The name on the site of a file of the repository; None if it is not a page."""
    in_docs = path.startswith("docs/") and (ROOT / path).is_file()
    return path.removeprefix("docs/") if in_docs else OUTSIDE.get(path)
