"""The links of the pages on the site of `make docs`."""

from __future__ import annotations

import pytest
import yaml

from tools.site_links import OUTSIDE, ROOT, rewrite_links

CODE = "https://github.com/me/ttsrl"


@pytest.mark.parametrize(
    ("source", "link", "on_site"),
    [
        ("README.md", "docs/user.md", "user.md"),
        ("README.md", "docs/cluster-owner.md#images", "cluster-owner.md#images"),
        ("docs/user.md", "../README.md", "index.md"),
        ("docs/user.md", "data.md", "data.md"),
        ("docs/user.md", "../helm/README.md", "chart.md"),
        ("docs/user.md", "../skaffold.yaml", f"{CODE}/blob/main/skaffold.yaml"),
        ("helm/README.md", "../docs/user.md", "user.md"),
        ("README.md", "examples/recipes", f"{CODE}/tree/main/examples/recipes"),
        ("README.md", "https://example.com/a.md", "https://example.com/a.md"),
        ("README.md", "#rooms", "#rooms"),
        ("docs/user.md", "missing.md", "missing.md"),
    ],
)
def test_a_link_leads_to_a_page_or_to_the_repository(source: str, link: str, on_site: str) -> None:
    assert rewrite_links(f"See [this]({link}).", source, CODE) == f"See [this]({on_site})."


def test_without_a_repository_a_link_to_code_is_its_text() -> None:
    text = "See [`skaffold.yaml`](../skaffold.yaml) and [data](data.md)."
    assert rewrite_links(text, "docs/user.md", None) == "See `skaffold.yaml` and [data](data.md)."


def test_code_stays_as_it_is() -> None:
    text = "`a[0](docs/user.md)`\n\n```\n[x](docs/user.md)\n```\n"
    assert rewrite_links(text, "README.md", CODE) == text


def test_every_page_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Takes mkdocs' tags as nothing."""

    Loader.add_multi_constructor("", lambda *_: None)
    sections = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]
    named = {
        page
        for section in sections
        for value in section.values()
        for one in (value if isinstance(value, list) else [{"": value}])
        for page in one.values()
    }
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert named == pages | set(OUTSIDE.values())
