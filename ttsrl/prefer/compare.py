"""Ask again after training: the same texts by the policy before and after, without telling which is
which, and how often the one after is chosen."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from statistics import NormalDist, fmean

import numpy as np

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.asked import Voices, conditions_of, synthesiser_of
from ttsrl.evaluation.suites import Suite
from ttsrl.prefer.answers import Answer, check_sides, read_answers
from ttsrl.prefer.clips import Clip, Pair, clip_of
from ttsrl.prefer.page import page_id, write_page
from ttsrl.records.evaluation import Interval
from ttsrl.records.listening import CHOICE, KEY, ListenersChoice, ListeningKey
from ttsrl.records.record import read_file, to_text
from ttsrl.storage.atomic import replace_text

PAGE_TITLE = "Which do you prefer?"


def speak(
    run: RunConfig,
    model: str,
    suite: Suite,
    seed: int,
    device: str = "cpu",
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Clip | None]:
    """Each text of a suite once, sampled as the evaluation samples; None without speech.

    `on_progress` gets (texts spoken, texts in all). Raises BadInput.
    """
    synthesiser = synthesiser_of(run, model, device)
    texts, sampling = suite.texts, suite.sampling
    clips: list[Clip | None] = []
    for batch in synthesiser.batches(
        [text.text for text in texts],
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_speech_tokens,
        seed=seed,
        batch_size=run.eval.batch_size,
        voices=Voices(suite, synthesiser).of(texts),
        conditions=[conditions_of(run, text) for text in texts],
    ):
        clips += [
            clip_of(speech.text, speech.waveform, speech.sample_rate_hz)
            if len(speech.waveform)
            else None
            for speech in batch
        ]
        on_progress(len(clips), len(texts))
    return clips


def pair_up(
    before: Sequence[Clip | None], after: Sequence[Clip | None], seed: int
) -> tuple[list[Pair], int, int]:
    """(pairs in random order with random sides, texts that sound equal, texts with silence).

    Equal sound cannot be chosen between, and silence cannot be heard to its end: neither is on the
    page. Raises BadInput where nothing is left.
    """
    both = list(zip(before, after, strict=True))
    heard = [(was, now) for was, now in both if was is not None and now is not None]
    differ = [(was, now) for was, now in heard if was.id != now.id]
    if not differ:
        raise BadInput(
            f"of {len(both)} texts {len(heard)} have speech of both models, and none differs: is "
            "the model after training the one before it? give another --after"
        )
    random = np.random.default_rng(seed)
    order = random.permutation(len(differ))
    swapped = random.permutation(np.arange(len(differ)) % 2 == 1)  # half of them on either side
    pairs = [
        Pair(now, was) if swap else Pair(was, now)
        for (was, now), swap in zip((differ[k] for k in order), swapped, strict=True)
    ]
    return pairs, len(heard) - len(differ), len(both) - len(heard)


def write_comparison(
    pairs: Sequence[Pair], after: Sequence[Clip | None], models: Sequence[str], folder: Path
) -> Path:
    """Write the page and, beside it, the key to its clips; returns the page. `models` are the
    digests of both. Raises BadInput."""
    trained = {clip.id for clip in after if clip is not None}
    clips = [clip.id for pair in pairs for clip in (pair.a, pair.b)]
    page = write_page(pairs, folder, PAGE_TITLE)
    key = ListeningKey(
        page=page_id(pairs),
        before=[clip for clip in clips if clip not in trained],
        after=[clip for clip in clips if clip in trained],
        models=list(models),
    )
    replace_text(folder / KEY, to_text(key))
    return page


def count(folder: Path, files: Sequence[Path]) -> ListenersChoice:
    """Count the answers to the page in `folder`; written there, and returned. Raises BadInput."""
    key = read_file(ListeningKey, folder / KEY)
    if key is None:
        raise BadInput(
            f"no {KEY} in {folder}: give the folder that `ttsrl prefer compare` made; pages of "
            "`ttsrl prefer collect` do not compare before with after"
        )
    answers = _answers_to(key, files)
    check_sides(answers)
    share = share_of(answers, set(key.after))
    choice = ListenersChoice(
        share=share.value,
        low=share.low,
        high=share.high,
        texts=len({answer.text for answer in answers}),
        answers=len(answers),
        same=sum(answer.choice == "same" for answer in answers),
        listeners=len({answer.listener for answer in answers} - {""}) or len(files),
        models=key.models,
    )
    replace_text(folder / CHOICE, to_text(choice))
    return choice


def share_of(answers: Iterable[Answer], trained: Collection[str]) -> Interval:
    """How often clips of `trained` were chosen: a text's mean over its answers, then over texts.

    "same" counts one half. The interval is Wilson's.
    """
    shares: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        chosen = {"a": answer.a, "b": answer.b, "same": None}[answer.choice]
        shares[answer.text].append(0.5 if chosen is None else float(chosen in trained))
    means = [fmean(of_text) for of_text in shares.values()]
    low, high = wilson(fmean(means), len(means))
    return Interval(value=fmean(means), low=low, high=high)


def wilson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (1927) of a mean of `n` independent values in [0, 1].

    For values of 0 and 1 it is the usual one. A text's mean over several answers, or half a point,
    varies less than a coin of the same mean: then the interval is wider than it need be. Answers
    to the same text are not taken for independent.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _answers_to(key: ListeningKey, files: Sequence[Path]) -> list[Answer]:
    """The answers to the page. Raises BadInput where one is to another page."""
    answers = read_answers(files)
    known = {*key.before, *key.after}
    for answer in answers:
        if answer.page != key.page or not known >= {answer.a, answer.b}:
            raise BadInput(
                f"the answers to pair {answer.pair} are to page {answer.page}, not to {key.page}; "
                "give what listeners saved from this page"
            )
    return answers
