"""Listeners: what they prefer."""

from __future__ import annotations

from dataclasses import replace
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
    from ttsrl.prefer.learnable import kept_pairs
    from ttsrl.prefer.page import write_page
    from ttsrl.records.listening import SPOKEN
    from ttsrl.records.record import to_text
    from ttsrl.storage.atomic import replace_text

    kept = kept_pairs(source, pairs, seed)
    chosen = kept[0] if kept else pairs_of(clips_of(source), pairs, seed)
    page = write_page(chosen, out, source.stem)
    if kept:
        replace_text(out / SPOKEN, to_text(kept[1]))
    print(f"{page}: {len(chosen)} pairs of {len({pair.a.text for pair in chosen})} texts")


@command(
    commands, "ttsrl prefer pairs preferences answers-1f0c.jsonl --out liked.jsonl", name="pairs"
)
def prefer_pairs(
    folder: Annotated[Path, typer.Argument(help="Folder that `collect` made.")],
    answers: Annotated[list[Path], typer.Argument(help="What listeners saved from its page.")],
    out: Annotated[Path, typer.Option(help="JSONL file to make.", metavar="FILE")],
) -> None:
    """Write what listeners chose as pairs for `dpo.pairs`, from which `ttsrl train` learns."""
    from ttsrl.prefer.learnable import learnable

    found = learnable(folder, answers, out)
    print(
        f"{out}: {len(found.pairs)} pairs, of which answers disagree about {found.disputed}; "
        f"{found.undecided} left out that were the same to listeners, or evenly split"
    )


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


@command(commands, "ttsrl prefer compare runs/NAME --texts 40", name="compare")
def prefer_compare(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    after: Annotated[
        str | None, typer.Option(help="Model after training; default: pulled, in the run's folder.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Model before it; default: the policy the run started from.")
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="How many held-out texts.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other speech.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to make; default: listening, in the run's folder.", metavar="DIR"
        ),
    ] = None,
) -> None:
    """Speak held-out texts before and after training, and write a page to choose between them.

    Nothing on the page tells which is which; key.json beside it does.
    """
    from ttsrl.config.load import load_run
    from ttsrl.config.models import check_models
    from ttsrl.errors import BadInput
    from ttsrl.evaluation.suites import held_out_suite
    from ttsrl.models.hub import model_digest
    from ttsrl.prefer.compare import pair_up, speak, write_comparison
    from ttsrl.records.listening import FOLDER
    from ttsrl.runtime.machine import torch_device
    from ttsrl.runtime.progress import Progress

    if not (run_dir / "run.json").is_file():
        raise BadInput(f"no run in {run_dir}: run.json is missing; give the run's own folder")
    if after is None and not (run_dir / "pulled").is_dir():
        raise BadInput(f"no model in {run_dir / 'pulled'}; pull it, or name one with --after")
    run = load_run(run_dir / "run.json")
    models = {"--before": before or run.model, "--after": after or str(run_dir / "pulled")}
    check_models(models)
    digests = [model_digest(model) for model in models.values()]  # both are here before one speaks
    suite = held_out_suite(run, run_dir / "data" / "held_out.parquet")
    suite = replace(suite, texts=suite.texts[:texts])
    count = len(suite.texts)
    spoken = []
    with Progress() as progress:
        for name, model in zip(("before", "after"), models.values(), strict=True):
            stage = progress.stage(f"speak {name}", count)
            device = torch_device()
            spoken.append(speak(run, model, suite, seed, device, stage.update))
            stage.finish(f"{count} texts")
    pairs, equal, silent = pair_up(spoken[0], spoken[1], seed)
    folder = out or run_dir / FOLDER
    page = write_comparison(pairs, spoken[1], digests, folder)
    print(f"{page}: {len(pairs)} pairs, {equal} that sound equal and {silent} silent left out")
    print(f"then: ttsrl prefer count {folder} answers-*.jsonl")


@command(commands, "ttsrl prefer count runs/NAME/listening answers-*.jsonl", name="count")
def prefer_count(
    folder: Annotated[Path, typer.Argument(help="Folder that `compare` made.")],
    answers: Annotated[
        list[Path], typer.Argument(help="What listeners saved from its page, one file a listener.")
    ],
) -> None:
    """Say how often listeners chose the speech after training; `ttsrl report` shows it."""
    from ttsrl.prefer.compare import count

    choice = count(folder, answers)
    print(
        f"after training is preferred in {choice.share:.1%} (95 % interval {choice.low:.1%} to "
        f"{choice.high:.1%}) of {choice.texts} texts: {choice.verdict}"
    )
    print(
        f"{choice.answers} answers by {choice.listeners} listeners, {choice.same} the same to them"
    )


@command(
    commands,
    "ttsrl prefer ask runs/NAME/listening --url http://audio-llm:8000/v1 --served-model qwen3-omni",
    name="ask",
)
def prefer_ask(
    folder: Annotated[Path, typer.Argument(help="Folder that `compare` or `collect` made.")],
    url: Annotated[str, typer.Option(help="Base address of chat completions that take audio.")],
    served_model: Annotated[str, typer.Option(help="The model, as the server calls it.")],
    prompt: Annotated[
        Path | None,
        typer.Option(help="File with another question; {text} in it is what is said."),
    ] = None,
    key_variable: Annotated[
        str | None, typer.Option(help="Environment variable with the server's key.")
    ] = None,
    deadline_s: Annotated[float, typer.Option(help="Longest wait for an answer.")] = 60.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 8,
    input_price: Annotated[float, typer.Option(min=0, help="Of a million tokens sent.")] = 0.0,
    output_price: Annotated[float, typer.Option(min=0, help="Of a million tokens answered.")] = 0.0,
) -> None:
    """Ask an audio-LLM about the pairs of a page, each pair in both orders.

    Its choices stand beside those of listeners, never among them; `ttsrl report` shows both.
    """
    from ttsrl.prefer.llm import ask, listener_of
    from ttsrl.runtime.progress import Progress

    listener = listener_of(
        prompt,
        url=url,
        served_model=served_model,
        key_variable=key_variable,
        deadline_s=deadline_s,
        concurrency=concurrency,
        input_price=input_price,
        output_price=output_price,
    )
    with Progress() as progress:
        stage = progress.stage("ask", None)
        choice = ask(folder, listener, stage.update)
        stage.finish(f"{choice.pairs} pairs")
    print("\n".join(choice.words))
