"""`ttsrl ...`: each command is one call, or one job started as a process.

Nothing heavy is imported before a command needs it: `ttsrl --help` must answer at once.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttsrl.runtime.exit_codes import exit_code

if TYPE_CHECKING:
    from ttsrl.config.schema import RunConfig
    from ttsrl.runtime.job import Job
    from ttsrl.runtime.progress import Stage

TINY = Path(__file__).resolve().parents[1] / "examples" / "tiny" / "run.json"

app = typer.Typer(
    name="ttsrl",
    help="Reinforcement-learning post-training of speech-generating language models.",
    epilog="Begin with: ttsrl doctor, then ttsrl quickstart",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

prefer = typer.Typer(
    help="Let listeners compare clips, and learn what they prefer, for use in a reward.",
    epilog="Example: ttsrl prefer collect runs/NAME --out preferences",
    no_args_is_help=True,
)
app.add_typer(prefer, name="prefer")

Config = Annotated[Path, typer.Option(help="The run's JSON file.", metavar="FILE")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the run; may be repeated."),
]
WorkDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The run's folder; default: runs/NAME.")
]
ReleaseName = Annotated[str, typer.Option("--release", metavar="NAME", help="The Helm release.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Default: that of kubectl's current context."),
]
Overlay = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A folder of jobs/train/overlays: which GPUs, how many."),
]


class TrainingJob(StrEnum):
    """Which operator runs the training."""

    rayjob = "rayjob"
    pytorchjob = "pytorchjob"


class Device(StrEnum):
    """Where a codec computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class What(StrEnum):
    """What of a published run can be pulled."""

    model = "model"
    checkpoint = "checkpoint"


def main() -> None:
    """Exit codes of every command: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    app()


def command(
    example: str, of: typer.Typer = app, name: str | None = None
) -> Callable[[Callable[..., object]], object]:
    """Register a command whose errors become one line and an exit code."""

    def register(function: Callable[..., object]) -> object:
        @of.command(name, epilog=f"Example: {example}")
        @functools.wraps(function)
        def run(*args: object, **options: object) -> None:
            raise typer.Exit(exit_code(lambda: function(*args, **options)))

        return function

    return register


@command("ttsrl quickstart --set train.steps=40")
def quickstart(
    config: Config = TINY,
    override: Override = None,
    work_dir: WorkDir = None,
    fresh: Annotated[bool, typer.Option(help="Forget what is done in the run's folder.")] = False,
) -> None:
    """Train the tiny model on this machine: every stage, from texts to the report.

    The same command goes on where an interrupted one ended.
    """
    arguments = ["--config", str(config), *(f"--set={item}" for item in override or [])]
    arguments += ["--work-dir", str(work_dir)] if work_dir else []
    _become("ttsrl.quickstart", [*arguments, *(["--fresh"] if fresh else [])])


@command("ttsrl prepare --config run.json")
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


@command("ttsrl encode recordings/ --codec HKUSTAudio/xcodec2-hf --out tokens")
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
    language: Annotated[
        str | None, typer.Option(help="ISO 639-1 code of recordings that name none.")
    ] = None,
    min_duration_s: Annotated[float, typer.Option(min=0.05, help="Leave out shorter ones.")] = 0.1,
    max_duration_s: Annotated[float, typer.Option(help="Leave out longer ones.")] = 30.0,
    require_text: Annotated[
        bool, typer.Option("--require-text", help="Leave out recordings without a transcript.")
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Recordings a parquet file.")] = 512,
    batch_s: Annotated[float, typer.Option(help="Seconds of speech encoded at once.")] = 120.0,
    device: Annotated[Device, typer.Option(help="auto: cuda where there is one.")] = Device.auto,
) -> None:
    """Turn recordings into speech tokens; the same command goes on where a killed one ended."""
    from ttsrl.data.encode import SKIPPED, EncodeOptions, encode
    from ttsrl.errors import BadInput
    from ttsrl.runtime.progress import Progress, duration

    if bad := [item for item in column or [] if "=" not in item]:
        raise BadInput(f"--column {bad[0]} names no column; write FIELD=NAME")
    options = EncodeOptions(
        columns=dict(item.split("=", 1) for item in column or []),
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
        )
        stage.finish(
            f"{encoded.recordings} recordings of {duration(encoded.duration_s)}, "
            f"{encoded.speech_tokens} speech tokens; {encoded.skipped} left out"
            + (f" ({out / SKIPPED} tells why)" if encoded.skipped else "")
            + (f"; {encoded.without_text} without text" if encoded.without_text else "")
        )
    print(out)


@command("ttsrl serve --config run.json --port 8000")
def serve(
    config: Config,
    override: Override = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    work_dir: WorkDir = None,
) -> None:
    """Serve rewards until Ctrl-C."""
    _, _, resolved = _resolve(config, override, work_dir)
    _become("ttsrl.serving", ["--config", str(resolved), "--host", host, "--port", str(port)])


@command("ttsrl audit --config run.json --clips clips.jsonl")
def audit(
    config: Config,
    clips: Annotated[
        Path, typer.Option(help="JSONL with text and wav a line: clean speech.", metavar="FILE")
    ],
    override: Override = None,
    work_dir: WorkDir = None,
) -> None:
    """Degrade clean speech in many ways; fail if the run's reward pays as much for one of them."""
    _, _, resolved = _resolve(config, override, work_dir)
    _become("ttsrl.serving.audit", ["--config", str(resolved), "--clips", str(clips)])


@command("ttsrl train --config run.json")
def train(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Train; the same command goes on from the newest checkpoint. Rewards must be served."""
    from ttsrl.runtime.follow import steps

    run, folder, resolved = _resolve(config, override, work_dir)
    _do(
        "train",
        "ttsrl.training",
        ["--config", resolved, "--work-dir", folder],
        folder,
        lambda job, stage: steps(job, folder, stage, run.train.steps),
    )


@command("ttsrl merge --config run.json")
def merge(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Turn the newest checkpoint into a Hugging Face folder and publish it."""
    _, folder, resolved = _resolve(config, override, work_dir)
    _do("merge", "ttsrl.evaluation.merge", ["--config", resolved, "--work-dir", folder], folder)


@command("ttsrl eval --config run.json --model runs/NAME/pulled --as after")
def eval(
    config: Config,
    model: Annotated[
        str | None, typer.Option(help="Folder or Hugging Face id; default: the run's own policy.")
    ] = None,
    suite: Annotated[
        str, typer.Option(help="What to speak: held_out, or one of the run's eval.suites.")
    ] = "held_out",
    name: Annotated[
        str, typer.Option("--as", help="Name of the evaluation; report reads before and after.")
    ] = "before",
    override: Override = None,
    work_dir: WorkDir = None,
) -> None:
    """Speak the texts of a suite with a model and let every judge listen."""
    from ttsrl.config.schema import HELD_OUT
    from ttsrl.runtime.follow import counts

    run, folder, resolved = _resolve(config, override, work_dir)
    out = folder / "eval" / ("" if suite == HELD_OUT else suite) / name
    arguments = ["--config", resolved, "--model", model or run.model, "--suite", suite]
    arguments += ["--data", folder / "data" / "held_out.parquet", "--out", out]
    _do(f"evaluate-{suite}-{name}", "ttsrl.evaluation", arguments, folder, counts)
    print(out / "report.json")


@command("ttsrl compare runs/NAME/eval/before runs/NAME/eval/after")
def compare(
    before: Annotated[
        str, typer.Argument(help="Folder of an evaluation; or its address in storage.")
    ],
    after: Annotated[str, typer.Argument(help="Another one, of the same suite.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    samples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Tell what two models differ by: paired bootstrap over the texts that both have spoken."""
    options = ["--samples", str(samples), "--seed", str(seed), *(["--json"] if json else [])]
    _become("ttsrl.evaluation.compare", [before, after, *options])


@command("ttsrl pull s3://bucket/prefix/runs/NAME --to model")
def pull(
    run: Annotated[
        str, typer.Argument(help="Address of a published run; or a Helm release by its name.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")],
    what: Annotated[What, typer.Option(help="What to pull.")] = What.model,
    step: Annotated[int | None, typer.Option(help="Of which step; default: the newest.")] = None,
    best: Annotated[bool, typer.Option("--best", help="The model that evaluated best.")] = False,
    namespace: Namespace = None,
) -> None:
    """Bring a published model or checkpoint here, verified; an interrupted pull goes on."""
    from ttsrl.runtime.progress import Progress
    from ttsrl.storage.published import best_step, open_run, pull_from

    if "/" not in run:
        from ttsrl.kube.cluster import Cluster
        from ttsrl.kube.release import read_release

        release = read_release(Cluster(namespace), run)
        run = release.address
        os.environ |= release.storage_environment(os.environ)
    with Progress() as progress:
        stage = progress.stage("pull")
        store = open_run(run)
        step = best_step(store) if best else step
        pulled = pull_from(store, what.value, step, to, stage.update_bytes)
        stage.finish(f"{what} of step {pulled}")
    print(to)


@command('ttsrl say "Hello there" --model runs/NAME/pulled --out hello.wav')
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
        str | None, typer.Option(help="What is said in it: the model then goes on from there.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Line of models; default: that of its run, or llasa.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token each time.")] = 0.0,
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
        family=family,
        temperature=temperature,
        seed=seed,
    )
    end = "" if said.finished else ", cut off: the model did not end by itself"
    print(f"{out}: {said.duration_s:.2f} s, {said.tokens} speech tokens{end}")


@command("ttsrl convert CosyVoice2-0.5B policy")
def convert(
    source: Annotated[
        Path, typer.Argument(help="CosyVoice2's checkpoint, or a Hugging Face folder made of one.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder, or the llm.pt, to write.")],
) -> None:
    """Turn CosyVoice2's language model into a Hugging Face folder, or such a folder into llm.pt."""
    from ttsrl.models.cosyvoice2 import LLM, to_huggingface, to_llm

    if (source / "config.json").is_file() and not (source / LLM).is_file():
        print(f"{out}: logits within {to_llm(source, out):.1g} of the folder's")
    else:
        print(f"{out}: {to_huggingface(source, out)}")


@command("ttsrl report runs/NAME")
def report(work_dir: Annotated[Path, typer.Argument(help="The run's folder.")]) -> None:
    """Write report.html from what a run has left in its folder."""
    folder = work_dir.absolute()
    _do("report", "ttsrl.evaluation.report", ["--work-dir", folder], folder)
    print(folder / "report.html")


@command("ttsrl prefer collect runs/NAME --out preferences", of=prefer, name="collect")
def prefer_collect(
    source: Annotated[
        Path, typer.Argument(help="A run's folder, or a JSONL file with text and wav a line.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")],
    pairs: Annotated[int, typer.Option(min=1, help="At most so many pairs.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pairs.")] = 0,
) -> None:
    """Write a page on which listeners compare two clips of one text; it needs no network."""
    from ttsrl.prefer.clips import clips_of, pairs_of
    from ttsrl.prefer.page import write_page

    chosen = pairs_of(clips_of(source), pairs, seed)
    page = write_page(chosen, out, source.stem)
    print(f"{page}: {len(chosen)} pairs of {len({pair.a.text for pair in chosen})} texts")


@command(
    "ttsrl prefer train preferences answers-1f0c.jsonl --out heads/liked", of=prefer, name="train"
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


@command("ttsrl submit --release ttsrl --overlay a100-80")
def submit(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A run's JSON file: refused if the release's differs."),
    ] = None,
    override: Override = None,
    kind: Annotated[TrainingJob, typer.Option(help="Which operator runs it.")] = TrainingJob.rayjob,
    overlay: Overlay = None,
    image: Annotated[
        str | None, typer.Option(help="Training image; default: beside the release's own.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="NAME", help="Kueue's LocalQueue to wait in.")
    ] = None,
) -> None:
    """Start training in the cluster, or go on with it; checked before a GPU is spent."""
    from ttsrl.config.load import load_run
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.release import check_same, read_release
    from ttsrl.kube.training import JobRequest, submit

    cluster = Cluster(namespace)
    there = read_release(cluster, release)
    if config is not None:
        check_same(there, load_run(config, override or []))
    print(submit(cluster, there, JobRequest(kind.value, overlay, image, queue)))


@command("ttsrl status --release ttsrl --follow")
def status(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show progress until the job has ended.")
    ] = False,
) -> None:
    """Tell what the release's jobs do, and why a pod is pending."""
    from ttsrl.kube import status
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.names import Names
    from ttsrl.runtime.progress import Progress

    cluster, names = Cluster(namespace), Names(release)
    if follow:
        with Progress() as progress:
            status.watch(cluster, names, progress)
        return
    print("\n".join([*status.status(cluster, names).lines(), *status.evaluation(cluster, names)]))


@command("ttsrl logs --release ttsrl --follow")
def logs(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
) -> None:
    """Print what the release's training says."""
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.logs import logs
    from ttsrl.kube.names import Names

    for line in logs(Cluster(namespace), Names(release), follow=follow):
        print(line, flush=follow)


@command("ttsrl stop --release ttsrl")
def stop(release: ReleaseName = "ttsrl", namespace: Namespace = None) -> None:
    """End the release's training; `ttsrl submit` goes on from the last published checkpoint."""
    from ttsrl.kube import training
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.names import Names

    cluster, names = Cluster(namespace), Names(release)
    kind, job = training.the_job(cluster, names)
    training.delete(cluster, names, kind)
    print(f"{job['kind']} {names.train} and its pods are gone")


@command("ttsrl doctor --json")
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    in_cluster: Annotated[
        bool, typer.Option("--cluster", help="Look at a release in the cluster instead.")
    ] = False,
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    kind: Annotated[
        TrainingJob, typer.Option(help="Which operator is to run the training.")
    ] = TrainingJob.rayjob,
    overlay: Overlay = None,
) -> None:
    """Tell what works on this machine, or in a cluster, and what to do about what does not."""
    from ttsrl.runtime.doctor import examine, show

    if not in_cluster:
        show(examine(), as_json=json)
        return
    from ttsrl.kube import readiness
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.release import read_release
    from ttsrl.kube.training import JobRequest, job_for

    cluster = Cluster(namespace)
    there = read_release(cluster, release)
    job = job_for(there, JobRequest(kind.value, overlay))
    show(readiness.examine(cluster, there, kind.value, job), as_json=json)


@command("ttsrl config --config run.json --origin train.steps")
def config(
    config: Annotated[
        Path | None, typer.Option(help="The run's JSON file.", metavar="FILE")
    ] = None,
    override: Override = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of a run instead.")] = False,
    values_schema: Annotated[
        bool, typer.Option(help="Print the JSON schema of the Helm chart's values instead.")
    ] = False,
    origin: Annotated[
        str | None, typer.Option(metavar="KEY", help="Tell where this key's value comes from.")
    ] = None,
) -> None:
    """Print the run with every default and override in it."""
    import json

    from ttsrl.config import load
    from ttsrl.config.schema import RunConfig
    from ttsrl.errors import BadInput

    if schema:
        print(json.dumps(RunConfig.model_json_schema(), indent=2))
        return
    if values_schema:
        from ttsrl.kube import values

        print(json.dumps(values.values_schema(), indent=2))
        return
    if config is None:
        raise BadInput("no run given; write --config run.json, or --schema for what it may hold")
    if origin is not None:
        print(load.origin(config, override or [], origin))
        return
    print(load.dump_run(load.load_run(config, override or [])), end="")


def _resolve(
    config: Path, override: list[str] | None, work_dir: Path | None
) -> tuple[RunConfig, Path, Path]:
    """(run, its folder, run.json with everything resolved in it)."""
    from ttsrl.config.load import dump_run, load_run

    run = load_run(config, override or [])
    folder = (work_dir or Path("runs") / run.name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    resolved = folder / "run.json"
    resolved.write_text(dump_run(run), encoding="utf-8")
    return run, folder, resolved


def _do(
    name: str,
    module: str,
    arguments: Sequence[str | Path],
    folder: Path,
    watch: Callable[[Job, Stage], Callable[[], object]] | None = None,
) -> None:
    """Run a job to its end, its output in logs/NAME.log, its progress shown."""
    from ttsrl.runtime.follow import follow
    from ttsrl.runtime.job import Job
    from ttsrl.runtime.progress import Progress

    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    with Progress() as progress:
        stage = progress.stage(name)
        job = Job(name, module, arguments, folder / "logs" / f"{name}.log")
        try:
            follow(job, *([watch(job, stage)] if watch else []))
        finally:
            job.stop()
        stage.finish(f"log: {job.log}")


def _become(module: str, arguments: Sequence[str]) -> None:
    """Run a job in place of this process: its terminal, its signals, its exit code."""
    from ttsrl.runtime.job import job_environment

    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(sys.executable, command, job_environment())
