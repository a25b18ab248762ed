"""Listeners: what they prefer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import command

commands = typer.Typer(
    help="Let listeners compare clips, and learn what they prefer, for use in a reward.",
    epilog="Example: ttsrl prefer collect runs/NAME --out preferences",
    no_args_is_help=True,
)


@command(commands, "ttsrl prefer collect runs/NAME --out preferences", name="collect")
def prefer_collect(
    source: Annotated[
        Path, typer.Argument(help="A run's folder, or a JSONL file with text and wav on each line.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")],
    pairs: Annotated[int, typer.Option(min=1, help="Largest number of pairs.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pairs.")] = 0,
) -> None:
    """Write a page on which listeners compare two clips of one text; it needs no network."""
    from ttsrl.prefer.clips import clips_of, pairs_of
    from ttsrl.prefer.page import write_page

    chosen = pairs_of(clips_of(source), pairs, seed)
    page = write_page(chosen, out, source.stem)
    print(f"{page}: {len(chosen)} pairs of {len({pair.a.text for pair in chosen})} texts")


@command(
    commands, "ttsrl prefer train preferences answers-1f0c.jsonl --out heads/liked", name="train"
)
def prefer_train(
    folder: Annotated[Path, typer.Argument(help="Folder that `collect` made.")],
    answers: Annotated[list[Path], typer.Argument(help="What listeners saved from its page.")],
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")],
    encoder: Annotated[
        str, typer.Option(help="WavLM, wav2vec 2.0, HuBERT or Whisper: a folder, or an id.")
    ] = "microsoft/wavlm-base-plus",
    device: Annotated[str, typer.Option(help="Where the encoder runs: cpu, cuda.")] = "cpu",
) -> None:
    """Learn a head from listeners' answers; say how often it is right on texts it has not heard."""
    from ttsrl.prefer.training import train

    facts = train(folder, answers, encoder, out, device).facts
    print(
        f"{out}: right on {facts.accuracy:.1%} of {facts.pairs} held-out pairs "
        f"(95 % interval {facts.low:.1%} to {facts.high:.1%}), chance 50 %"
        + ("" if facts.better_than_chance else ": no better than chance, a reward refuses it")
    )
