"""An audio-LLM as a listener: which of two clips it prefers, asked in both orders.

Models of this kind prefer a side: which clip comes first changes what they choose (position bias,
arXiv 2306.05685). So every pair is asked twice, each clip first once. Where both answers choose the
same clip, that is the answer; where they do not, it is "same".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from ttsrl.audio.io import read_recording
from ttsrl.errors import BadInput, Failure, reason_of, shorten
from ttsrl.prefer.answers import Answer
from ttsrl.prefer.compare import share_of
from ttsrl.prefer.page import CLIPS
from ttsrl.records.listening import (
    ASKED,
    KEY,
    LLM_ANSWERS,
    LLM_CHOICE,
    ComparedPairs,
    ListeningKey,
    ListeningPair,
    LlmChoice,
)
from ttsrl.records.record import read_file, to_text
from ttsrl.reward.audio_llm import AudioLlmProgram
from ttsrl.scorers.audio_llm_client import AudioLlmClient, audio_part
from ttsrl.scorers.remote import NOTHING_USED, NotAnswered, Usage
from ttsrl.storage.atomic import replace_text

PROMPT = (
    "You hear two recordings. Both should say: {text}\n"
    "Which one is better speech: it says the words, and it sounds like a person? Answer with one "
    "word: first, second, or same."
)
LONGEST_ANSWER = 16
"""Tokens: one word. What is longer was not asked for."""
Choice = Literal["a", "b", "same"]


class LlmListener(AudioLlmProgram):
    """An audio-LLM that is asked about pairs."""

    prompt: Annotated[str, Field(min_length=1)] = PROMPT
    """What is asked; `{text}` is what both recordings should say. It has to ask for one of the
    words first, second and same."""

    @field_validator("prompt")
    @classmethod
    def _has_its_text(cls, prompt: str) -> str:
        if "{text}" not in prompt:
            raise ValueError("the prompt lacks {text}, which both recordings should say")
        return prompt


def listener_of(prompt: Path | None, **settings: Any) -> LlmListener:
    """A listener as the command line describes it. Raises BadInput."""
    try:
        if prompt is not None:
            settings["prompt"] = prompt.read_text(encoding="utf-8").strip()
        return LlmListener.model_validate(settings)
    except OSError as error:
        raise BadInput(f"the prompt cannot be read: {reason_of(error)}; give a text file") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])).replace("_", "-")
        raise BadInput(f"--{where}: {problem['msg'].removeprefix('Value error, ')}") from None


@dataclass(frozen=True)
class HeardPair:
    """What came of a pair: a choice, or why there is none."""

    choice: Choice | None
    firsts: int = 0
    """How many of both answers chose the clip that was played first, of `decided`."""
    decided: int = 0
    failed: str = ""
    why: str = ""


def ask(
    folder: Path,
    listener: LlmListener,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> LlmChoice:
    """Ask about every pair of the page in `folder`; its answers and their count are written there.

    Raises BadInput for a folder without a page, Failure where no pair is answered.
    """
    asked = read_file(ComparedPairs, folder / ASKED)
    if asked is None:
        raise BadInput(
            f"no {ASKED} in {folder}: give the folder that `ttsrl prefer compare` or `collect` made"
        )
    used: list[Usage] = []
    heard: list[HeardPair] = []
    client = AudioLlmClient(listener, used.append)
    with ThreadPoolExecutor(listener.concurrency) as pool:
        for one in pool.map(lambda pair: _ask_both(client, listener, folder, pair), asked.pairs):
            heard.append(one)
            on_progress(len(heard), len(asked.pairs))
    if all(one.choice is None for one in heard):
        raise Failure(f"no pair was answered, the first because: {heard[0].why}")
    answers = list(_answers(asked, heard))
    replace_text(
        folder / LLM_ANSWERS, "".join(f"{answer.model_dump_json()}\n" for answer in answers)
    )
    choice = _count(listener, heard, answers, read_file(ListeningKey, folder / KEY), used)
    replace_text(folder / LLM_CHOICE, to_text(choice))
    return choice


def _ask_both(
    client: AudioLlmClient, listener: LlmListener, folder: Path, pair: ListeningPair
) -> HeardPair:
    """Each clip first once. One answer that is none leaves the pair out."""
    a, b = _clip(folder, pair.a), _clip(folder, pair.b)
    chosen: list[Choice] = []
    firsts = 0
    orders: list[tuple[Choice, Choice]] = [("a", "b"), ("b", "a")]
    for first, second in orders:
        question = [
            {"type": "text", "text": listener.prompt.replace("{text}", pair.text)},
            {"type": "text", "text": "First recording:"},
            a if first == "a" else b,
            {"type": "text", "text": "Second recording:"},
            b if first == "a" else a,
        ]
        try:
            word = _word(client.answer(question, LONGEST_ANSWER))
        except NotAnswered as error:
            return HeardPair(None, failed=error.kind, why=str(error))
        chosen.append(first if word == "first" else second if word == "second" else "same")
        firsts += word == "first"
    agreed: Choice = chosen[0] if chosen[0] == chosen[1] else "same"
    return HeardPair(agreed, firsts, sum(one != "same" for one in chosen))


def _word(said: object) -> str:
    word = said.strip().strip(".\"'*").lower() if isinstance(said, str) else ""
    if word not in ("first", "second", "same"):
        raise NotAnswered(
            "scorer", f"answered {shorten(said)}, which is none of first, second and same"
        )
    return word


def _clip(folder: Path, clip: str) -> dict[str, Any]:
    file = folder / CLIPS / f"{clip}.flac"
    if not file.is_file():
        raise BadInput(f"{file} is missing; make the page again")
    return audio_part(*read_recording(file))


def _answers(asked: ComparedPairs, heard: Sequence[HeardPair]) -> Iterator[Answer]:
    for pair, one in zip(asked.pairs, heard, strict=True):
        if one.choice is not None:
            yield Answer(
                page=asked.page,
                pair=pair.id,
                a=pair.a,
                b=pair.b,
                text=pair.text,
                choice=one.choice,
                at=datetime.now(UTC).isoformat(),
            )


def _count(
    listener: LlmListener,
    heard: Sequence[HeardPair],
    answers: Sequence[Answer],
    key: ListeningKey | None,
    used: Sequence[Usage],
) -> LlmChoice:
    share = share_of(answers, set(key.after)) if key else None
    spent = sum(used, NOTHING_USED)
    return LlmChoice(
        served_model=listener.served_model,
        prompt=listener.prompt,
        share=share.value if share else None,
        low=share.low if share else None,
        high=share.high if share else None,
        texts=len({answer.text for answer in answers}),
        pairs=len(answers),
        same=sum(answer.choice == "same" for answer in answers),
        first=sum(one.firsts for one in heard),
        decided=sum(one.decided for one in heard),
        failed=dict(Counter(one.failed for one in heard if one.choice is None)),
        requests=spent.requests,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost=spent.cost,
        models=key.models if key else [],
    )
