"""The example voice in a cluster: its values are the run of examples/voice."""

from __future__ import annotations

from support.paths import ROOT
from support.releases import release, values_of
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.facts import OfDeployment, walk

FOLDERS = {
    str(ROOT / "examples/voice"): "/models/voice",
    "openai/": "/models/",
}
"""What the checkout or the model hub has -> where the claim of the model cache has it."""


def settings(run: RunConfig) -> dict[str, str]:
    """Every setting that is not the deployment's own, as text."""
    return {s.name: str(s.value) for s in walk(run) if s.fact(OfDeployment) is None}


def test_the_voice_values_are_the_run_of_the_example() -> None:
    example = settings(load_run(ROOT / "examples/voice/run.json"))
    for here, there in FOLDERS.items():
        example = {name: value.replace(here, there) for name, value in example.items()}
    cluster = settings(release(values_of("voice")).run)
    differing = {name for name in {*example, *cluster} if example.get(name) != cluster.get(name)}
    assert differing == {"name", "storage"}
