"""Models of a run: fetched, spoken with, converted."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import Namespace, RunName, command

commands = typer.Typer()


class What(StrEnum):
    """What of a published run can be pulled."""

    model = "model"
    checkpoint = "checkpoint"


@command(commands, "ttsrl pull s3://bucket/prefix/runs/NAME --to model")
def pull(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Address of a published run; or a Helm release by its name."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")],
    what: Annotated[What, typer.Option(help="What to pull.")] = What.model,
    step: Annotated[int | None, typer.Option(help="Of which step; default: the newest.")] = None,
    best: Annotated[bool, typer.Option("--best", help="The model that evaluated best.")] = False,
    namespace: Namespace = None,
    run: RunName = None,
) -> None:
    """Bring a published model or checkpoint here, verified; an interrupted pull resumes."""
    from ttsrl.cli.published import published
    from ttsrl.errors import BadInput
    from ttsrl.runtime.progress import Progress
    from ttsrl.storage.published import best_model, pull_from

    if best and step is not None:
        raise BadInput(f"--best chooses the step, and --step {step} names one; give one of them")
    store = published(source, namespace, run)
    with Progress() as progress:
        stage = progress.stage("pull")
        chosen = best_model(store) if best else None
        step = chosen.step if chosen else step
        pulled = pull_from(store, what.value, step, to, stage.update_bytes)
        stage.finish(f"{what} of step {pulled}")
    if chosen is not None and chosen.why:
        print(chosen.why)
    print(to)


@command(commands, 'ttsrl say "Hello there" --model runs/NAME/pulled --out hello.wav')
def say(
    text: Annotated[str, typer.Argument(help="What to say.")],
    model: Annotated[str, typer.Option(help="Folder of a model, or s3://bucket/prefix/runs/NAME.")],
    out: Annotated[Path, typer.Option(help="WAV file to write.", metavar="FILE")],
    codec: Annotated[
        str | None, typer.Option(help="Folder of its codec; default: that of its run.")
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(help="Recording (or CosyVoice2's speaker) to speak in the voice of."),
    ] = None,
    voice_text: Annotated[
        str | None, typer.Option(help="What is said in it: the model continues from there.")
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="How to speak, as the model was taught to be told.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Its code, for a model that was taught to be told.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Line of models; default: that of its run, or llasa.")
    ] = None,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="The likeliest token each time; models may repeat.")
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(help="Default, as for the next two: that of the family's authors.", min=0.01),
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Share of the likeliest tokens.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Number of likeliest tokens; -1: all.")] = None,
    max_speech_tokens: Annotated[
        int | None,
        typer.Option(
            help="Longest speech; default: that of its run, or what fits, up to 2048.", min=1
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another reading.")] = 0,
) -> None:
    """Speak one text into a WAV file, in a voice of your choice where the model can."""
    from ttsrl.synthesis.say import say

    said = say(
        text,
        model,
        out,
        codec=codec,
        voice=voice,
        voice_text=voice_text,
        style=style,
        language=language,
        family=family,
        greedy=greedy,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        max_speech_tokens=max_speech_tokens,
        seed=seed,
    )
    end = "" if said.finished else ", cut off: the model did not end by itself"
    print(f"{out}: {said.duration_s:.2f} s, {said.tokens} speech tokens ({said.drawn}){end}")


@command(commands, "ttsrl convert CosyVoice2-0.5B policy")
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="CosyVoice2's or 3's checkpoint, or a Hugging Face folder made of one."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder, or the llm.pt, to write.")],
) -> None:
    """Turn CosyVoice's language model into a Hugging Face folder, or such a folder into llm.pt."""
    from ttsrl.models.cosyvoice_llm import LLM, to_huggingface, to_llm

    if (source / "config.json").is_file() and not (source / LLM).is_file():
        print(f"{out}: logits within {to_llm(source, out):.1g} of the folder's")
    else:
        print(f"{out}: {to_huggingface(source, out)}")
