"""Texts and recordings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import Config, Override, WorkDir, command

commands = typer.Typer()


class Device(StrEnum):
    """Where a codec computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@command(commands, "ttsrl prepare --config run.json")
def prepare(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Check the texts and write them as prompts, training and held out."""
    from ttsrl.config.load import load_run
    from ttsrl.data.prompts import prepare
    from ttsrl.runtime.progress import Progress

    run = load_run(config, override or [])
    folder = (work_dir or Path("runs") / run.name) / "data"
    with Progress() as progress:
        stage = progress.stage("prepare")
        stage.finish(str(prepare(run, folder, stage.update)))
    print(folder)


@command(commands, "ttsrl encode recordings/ --codec HKUSTAudio/xcodec2-hf --out tokens")
def encode(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of audio files, JSON lines with paths, parquet, data set folder or id."
        ),
    ],
    codec: Annotated[str, typer.Option(help="Folder of the codec, or its Hugging Face id.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to write.", metavar="DIR")],
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help="Read audio, text, language, speaker or id there."),
    ] = None,
    layout: Annotated[
        str, typer.Option(help="Layout of a corpus's folder; auto: all that are known.")
    ] = "auto",
    language: Annotated[
        str | None, typer.Option(help="ISO 639-1 code of recordings that name none.")
    ] = None,
    min_duration_s: Annotated[float, typer.Option(min=0.05, help="Skip shorter ones.")] = 0.1,
    max_duration_s: Annotated[float, typer.Option(help="Skip longer ones.")] = 30.0,
    require_text: Annotated[
        bool, typer.Option("--require-text", help="Skip recordings without a transcript.")
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Recordings per parquet file.")] = 512,
    batch_s: Annotated[float, typer.Option(help="Seconds of speech encoded at once.")] = 120.0,
    device: Annotated[Device, typer.Option(help="auto: cuda where there is one.")] = Device.auto,
) -> None:
    """Turn recordings into speech tokens; the same command resumes a killed one."""
    from ttsrl.data.encode import SKIPPED, EncodeOptions, encode
    from ttsrl.data.layouts.registry import layout_named
    from ttsrl.errors import BadInput
    from ttsrl.runtime.progress import Progress, duration

    if bad := [item for item in column or [] if "=" not in item]:
        raise BadInput(f"--column {bad[0]} names no column; write FIELD=NAME")
    options = EncodeOptions(
        columns=dict(item.split("=", 1) for item in column or []),
        layout=layout_named(layout),
        language=language,
        min_duration_s=min_duration_s,
        max_duration_s=max_duration_s,
        require_text=require_text,
        shard_size=shard_size,
    )
    with Progress() as progress:
        stage = progress.stage("encode")
        encoded = encode(
            source,
            codec,
            out,
            options,
            device=device.value,
            batch_s=batch_s,
            on_progress=stage.update,
            on_survey=lambda survey: stage.tell(str(survey)),
        )
        stage.finish(
            f"{encoded.recordings} recordings of {duration(encoded.duration_s)}, "
            f"{encoded.speech_tokens} speech tokens; {encoded.skipped} left out"
            + (f" ({out / SKIPPED} tells why)" if encoded.skipped else "")
            + (f"; {encoded.without_text} without text" if encoded.without_text else "")
        )
    print(out)
