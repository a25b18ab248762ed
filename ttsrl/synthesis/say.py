"""One text, spoken by a trained model into a WAV file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ttsrl.audio.voice_prompt import read_voice
from ttsrl.codecs.registry import takes_voice
from ttsrl.config.load import load_run
from ttsrl.config.models import check_models
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.families.conditions import Conditions, PromptConfig
from ttsrl.families.registry import family_class
from ttsrl.models.hub import local_folder
from ttsrl.records.sampling import Sampling
from ttsrl.runtime.machine import torch_device
from ttsrl.storage.published import RUN, open_run, pull_from
from ttsrl.text.controls import check_sayable
from ttsrl.text.languages import language_of

CACHE = Path("~/.cache/ttsrl/models")


@dataclass(frozen=True)
class Said:
    """What was spoken."""

    tokens: int
    duration_s: float
    finished: bool
    """Whether the model ended the utterance itself."""
    drawn: str
    """How its tokens were chosen."""


def say(
    text: str,
    model: str,
    out: Path,
    *,
    codec: str | None = None,
    voice: str | None = None,
    voice_text: str | None = None,
    style: str | None = None,
    language: str | None = None,
    family: str | None = None,
    greedy: bool = False,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_speech_tokens: int | None = None,
    seed: int = 0,
) -> Said:
    """Speak `text` with the model of a folder or of a published run.

    Sampled as the family's authors do, but for what is given; `greedy` takes the likeliest token
    each time.

    `style` and `language` are told as the run's `prompt` says.
    With a recording and what is said in it, the model continues in that voice; a codec that speaks
    in a given voice takes the recording alone, too. Codec, voice and family are those of the
    model's run (the run.json in its folder or above it, or the published one) unless given.
    Raises BadInput, Failure, StorageError; then nothing is written.
    """
    check_sayable(text, "the text", "give words")
    if "://" not in model:
        check_models({"--model": model})
    where, run = _find(model)
    codec = codec or (run.codec if run else None)
    if codec is None:
        raise BadInput(f"no run.json of {where} tells the model's codec; give it: --codec FOLDER")
    check_models({"--codec": codec})
    voice_text = (voice_text or "").strip()
    alone = voice is not None and takes_voice(str(local_folder(codec)))
    if (voice is None) != (not voice_text) and not alone:
        raise BadInput(
            "--voice and --voice-text belong together: the model must be told what is said in the "
            "recording"
        )
    recording = read_voice(Path(voice)) if voice is not None and voice_text else None
    family = family or (run.family if run else "llasa")
    sampling = _sampling(
        family,
        {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "max_speech_tokens": max_speech_tokens
            or (run.rollout.max_speech_tokens if run else None),
        },
    )
    told = run.prompt if run else PromptConfig()
    conditions = _conditions(told, style, language)
    if greedy and (temperature, top_p, top_k) != (None, None, None):
        raise BadInput(
            "--greedy takes the likeliest token each time: leave --temperature, --top-p and "
            "--top-k out, or --greedy"
        )

    from transformers.utils import logging

    from ttsrl.synthesis.synthesiser import Synthesiser, write_wav

    logging.disable_progress_bar()
    synthesiser = Synthesiser(
        where,
        codec,
        family,
        torch_device(),
        voice or (run.voice if run else None),
        told,
    )
    voices = [synthesiser.voice(voice_text, *recording)] if recording and voice_text else None
    longest = sampling.max_speech_tokens
    if max_speech_tokens is None and run is None:
        # a small model may have room for fewer than its family's authors give
        room = synthesiser.room(text, voices[0] if voices else None, conditions)
        longest = min(longest, max(1, room))
    [speech] = synthesiser.synthesise(
        [text],
        voices=voices,
        conditions=[conditions],
        temperature=0.0 if greedy else sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=seed,
        max_tokens=longest,
    )
    if not speech.speech_tokens:
        raise Failure("the model ended without a speech token; try another --seed")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_wav(out, speech.waveform, speech.sample_rate_hz)
    drawn = "greedy" if greedy else f"{sampling}, seed {seed}"
    return Said(len(speech.speech_tokens), speech.duration_s, speech.finished, drawn)


def _sampling(family: str, asked: dict[str, Any]) -> Sampling:
    """That of the family's authors, but for what is asked."""
    try:
        usual = family_class(family).inference
    except ValueError as error:
        raise BadInput(f"--family: {error}") from None
    return usual.model_copy(update={key: v for key, v in asked.items() if v is not None})


def _conditions(told: PromptConfig, style: str | None, language: str | None) -> Conditions:
    """What is asked for beside the words. Raises BadInput for what the model is not told."""
    if style is not None and not style.strip():
        raise BadInput("--style is empty; leave it out")
    if style is not None and told.style_from is None:
        raise BadInput(
            "--style: the policy of this run was told no style (prompt.style_from is null); leave "
            "it out"
        )
    if language is None:
        return told.conditions(style=style, label=style)
    try:
        code = language_of(language)
    except BadInput as error:
        raise BadInput(f"--language: {error}") from None
    if not told.has_language:
        raise BadInput(
            "--language: the model is told none: no place {language} in prompt.request or "
            "prompt.styled_request of its run; leave it out"
        )
    return told.conditions(style=style, label=style, language=code)


def _find(model: str) -> tuple[str, RunConfig | None]:
    """Folder or id of the model, and the run that it came from where that is known."""
    if "://" in model:
        return _published(model)
    folder = Path(model).expanduser().absolute()
    if not folder.is_dir():
        return model, None
    if (own := folder / RUN).is_file():
        return str(folder), _run_of(own.read_text(encoding="utf-8"))
    beside = folder.parent / RUN
    return str(folder), load_run(beside) if beside.is_file() else None


def _published(address: str) -> tuple[str, RunConfig | None]:
    store = open_run(address)
    step = max(store.list_models(), default=0)
    cached = CACHE.expanduser() / hashlib.sha256(address.encode()).hexdigest()[:16]
    folder = cached / f"step_{step:06d}"
    pull_from(store, "model", step or None, folder)
    return str(folder), _run_of(json.dumps(store.storage.read_json(store.run_json)))


def _run_of(published: str) -> RunConfig | None:
    """None where another version of ttsrl made it: then the codec must be given."""
    try:
        return RunConfig.model_validate_json(published)
    except ValidationError:
        return None
