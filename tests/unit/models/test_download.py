"""huggingface_hub against a hub on this machine: what is fetched, resolved and said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.local_hub import LocalHub, folder_content, local_hub, python
from support.paths import TINY
from ttsrl.models.files import folder_digest

REPOSITORY = "openai/whisper-tiny-two"
FOLDER = """
from ttsrl.models.hub import local_folder
print(local_folder({name!r}))
"""
DIGEST = """
from ttsrl.models.hub import model_digest, pinned
print(model_digest({name!r}), pinned({name!r}))
"""
REFUSED = """
from ttsrl.errors import BadInput, Failure
from ttsrl.models.hub import local_folder
try:
    print(local_folder({name!r}))
except (BadInput, Failure) as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as hub:
        yield hub


def whisper() -> dict[str, bytes]:
    return folder_content(TINY / "whisper")


def test_only_what_is_loaded_is_fetched(hub: LocalHub, tmp_path: Path) -> None:
    """As openai/whisper-large-v3 has it: the same weights for five programs, in two precisions."""
    others = {
        "flax_model.msgpack": b"f", "tf_model.h5": b"t", "pytorch_model.bin": b"p",
        "rust_model.ot": b"r", "onnx/model.onnx": b"o", "README.md": b"card",
        "model.fp32-00001-of-00002.safetensors": b"1", "training_args.bin": b"a",
        "model.fp32-00002-of-00002.safetensors": b"2", "eval_results.json": b"{}",
        "model.safetensors.index.fp32.json": b"{}", "pytorch_model.bin.index.json": b"{}",
    }  # fmt: skip
    hub.push(REPOSITORY, whisper() | others)
    folder = python(FOLDER.format(name=REPOSITORY), hub, tmp_path)
    fetched = {name.removeprefix(f"{REPOSITORY}/") for name in hub.fetched}
    assert fetched == whisper().keys() - {"README.md"}
    assert folder_digest(Path(folder)) == folder_digest(TINY / "whisper")


def test_a_readme_changed_upstream_changes_nothing_and_weights_do(
    hub: LocalHub, tmp_path: Path
) -> None:
    first = hub.push(REPOSITORY, whisper())
    digest, pinned = python(DIGEST.format(name=REPOSITORY), hub, tmp_path).split()
    assert pinned == f"{REPOSITORY}@{first}"
    second = hub.push(REPOSITORY, whisper() | {"README.md": b"a new card"})
    assert python(DIGEST.format(name=REPOSITORY), hub, tmp_path).split() == [
        digest,
        f"{REPOSITORY}@{second}",
    ]
    hub.push(REPOSITORY, whisper() | {"config.json": whisper()["config.json"] + b" "})
    moved, _ = python(DIGEST.format(name=REPOSITORY), hub, tmp_path).split()
    assert moved != digest
    # what was pinned stays
    assert python(DIGEST.format(name=pinned), hub, tmp_path).split() == [digest, pinned]


def test_an_id_is_resolved_once_in_a_process(hub: LocalHub, tmp_path: Path) -> None:
    commit = hub.push(REPOSITORY, whisper())
    hub.on_move = lambda: hub.push(REPOSITORY, whisper() | {"config.json": b"{}"})
    move = f"""
import urllib.request
urllib.request.urlopen("{hub.url}/move")
"""
    look = DIGEST.format(name=REPOSITORY)
    before, after = python(look + move + look, hub, tmp_path).splitlines()
    assert before == after and before.endswith(commit)
    assert hub.main[REPOSITORY] != commit


def test_shards_are_those_that_the_index_names(hub: LocalHub, tmp_path: Path) -> None:
    index = b'{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}'
    files = {"config.json": b"{}", "model.safetensors.index.json": index}
    files |= {f"x-{n}.safetensors": b"%d" % n for n in (1, 2, 3)}
    hub.push("some/sharded", files)
    python(FOLDER.format(name="some/sharded"), hub, tmp_path)
    assert {f[13:] for f in hub.fetched} == files.keys() - {"x-3.safetensors"}
    del files["x-2.safetensors"]
    hub.push("some/sharded", files)
    said = python(REFUSED.format(name="some/sharded"), hub, tmp_path)
    assert "BadInput some/sharded lacks x-2.safetensors, which its index names" in said


def test_a_repository_of_pickled_weights(hub: LocalHub, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": b"p", "tf_model.h5": b"t"}
    hub.push("some/pickle", files)
    python(FOLDER.format(name="some/pickle"), hub, tmp_path)
    assert sorted(hub.fetched) == ["some/pickle/config.json", "some/pickle/pytorch_model.bin"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some/nowhere", "Hugging Face has no such model or it is private"),
        (f"{REPOSITORY}@v9", f"{REPOSITORY} has no revision 'v9'"),
        ("some/gated", "some/gated is gated: ask for access"),
        ("some/flax", "has no weights that can be loaded .*it has config.json, flax_model.msgpack"),
        ("some/huge", r"Failure no space left to download some/huge: 9\d{5,}\.\d GiB are needed"),
        ("some/../other", "give a folder, or a Hugging Face id"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    name: str, message: str, hub: LocalHub, tmp_path: Path
) -> None:
    import re

    hub.push(REPOSITORY, whisper())
    hub.push("some/gated", whisper())
    hub.gated.add("some/gated")
    hub.push("some/flax", {"config.json": b"{}", "flax_model.msgpack": b"f"})
    hub.push("some/huge", {"config.json": b"{}", "pytorch_model.bin": b"p"})
    hub.claimed_sizes["pytorch_model.bin"] = 10**15
    said = python(REFUSED.format(name=name), hub, tmp_path)
    assert re.search(message, said), said
    assert said.startswith(("BadInput", "Failure")) and len(said.splitlines()) == 1


def test_what_is_here_already_needs_no_space(hub: LocalHub, tmp_path: Path) -> None:
    hub.push(REPOSITORY, whisper())
    code = REFUSED.format(name=REPOSITORY)
    folder = python(code, hub, tmp_path)
    hub.claimed_sizes["model.safetensors"] = 10**15  # no longer fits on the disk
    assert python(code, hub, tmp_path) == folder
    assert "no space left" in python(code, hub, tmp_path / "elsewhere")


def test_without_a_network_the_cache_is_taken(hub: LocalHub, tmp_path: Path) -> None:
    commit = hub.push(REPOSITORY, whisper())
    code = REFUSED.format(name=REPOSITORY)
    offline = python(code, hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set and the cache of this machine does not hold it" in offline
    folder = python(code, hub, tmp_path)
    assert Path(folder).name == commit
    hub.push(REPOSITORY, whisper() | {"config.json": b"{}"})
    requests = hub.requests
    assert python(code, hub, tmp_path, HF_HUB_OFFLINE="1") == folder
    assert hub.requests == requests
    hub.broken = True  # it cannot be asked, and that is said
    told = python(code, hub, tmp_path).splitlines()
    assert told[-1] == folder
    assert "does not answer" in told[-2] and commit in told[-2]
