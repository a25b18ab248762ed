"""Which recognisers descend from the same model or the same training data: a table of names.

Two recognisers of one lineage share weaknesses: speech that fools the one that rewards may fool the
other. Speech for training counts where it is the greater part of what a model learnt from, or where
another model wrote its transcripts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

WHISPER, WAV2VEC2, NEMO, FUNASR = "whisper", "wav2vec2", "nemo", "funasr"
CMUSPHINX, LASR, MOONSHINE = "cmusphinx", "lasr", "moonshine"

NAMES: dict[str, tuple[str, ...]] = {
    # OpenAI's, its distillations, conversions and fine-tunes; models that began with its encoder
    WHISPER: (
        r"whisper|distil-(small|medium|large)",
        r"qwen2?-audio|qwen2\.5-omni|ultravox|voxtral",
    ),
    # Encoders that learnt from speech alone, then mostly LibriSpeech: each took over the design,
    # the weights or the targets of an earlier one
    WAV2VEC2: (
        r"wav2vec|w2v-?(bert|2)|xlsr|xls-r|\bmms-(1b|300m|zeroshot)",
        r"hubert|wavlm|data2vec-audio|unispeech|\bsew-|mctct",
    ),
    NEMO: (
        r"parakeet|\bcanary-(180m|1b|qwen)|fastconformer|citrinet|quartznet|\bnemo\b|nvidia/stt_",
    ),
    # Alibaba's, of the same Mandarin recordings
    FUNASR: (r"paraformer|sense-?voice|fun-?asr",),
    CMUSPHINX: (r"pocketsphinx|cmusphinx|\bsphinx\b",),
    LASR: (r"\blasr\b|medasr",),
    MOONSHINE: (r"moonshine",),
    "kaldi": (r"vosk|\bkaldi\b",),
}
"""Lineage -> what the names of its models contain, in lower case."""
ALSO_WHISPER = r"parakeet-[a-z_]*-0\.6b-v[23]|canary-(1b-v2|qwen)|moonshine"
"""Models whose transcripts Whisper large-v3 wrote: most of those of NVIDIA's that were trained on
Granary (arXiv 2505.13404), and Moonshine's where there was none (arXiv 2410.15608)."""

OF_MODEL_TYPE = {
    "whisper": WHISPER,
    **dict.fromkeys(
        (
            *("wav2vec2", "wav2vec2-bert", "wav2vec2-conformer", "hubert", "wavlm"),
            *("data2vec-audio", "unispeech", "unispeech-sat", "sew", "sew-d"),
        ),
        WAV2VEC2,
    ),
    **dict.fromkeys(("parakeet_ctc", "parakeet_tdt", "parakeet_encoder"), NEMO),
    "lasr_ctc": LASR,
    **dict.fromkeys(("moonshine", "moonshine_streaming"), MOONSHINE),
}
"""`model_type` of a config.json -> lineage of the models that are published with it."""

OF_RECOGNISER = {
    "whisper": WHISPER,
    "paraformer": FUNASR,
    "pocketsphinx": CMUSPHINX,
    "moonshine": MOONSHINE,
}
"""Type of a recogniser -> lineage; one of type `ctc` may be of several."""
OF_COMPONENT = {"pinyin_wer": FUNASR, "parakeet_cer": NEMO}
"""Component of a reward whose model is a recogniser -> its lineage."""


def lineages_of_name(name: str) -> frozenset[str]:
    """Lineages of a published model by its name or Hugging Face id; none: the table lacks it."""
    name = name.lower()
    found = {
        lineage
        for lineage, patterns in NAMES.items()
        if any(re.search(pattern, name) for pattern in patterns)
    }
    return frozenset(found | {WHISPER} if re.search(ALSO_WHISPER, name) else found)


def lineages_of_words(words: Iterable[str]) -> frozenset[str]:
    """What a user says, in the table's words where it has them: `distil-whisper` is `whisper`."""
    return frozenset().union(*(lineages_of_name(word) or {word} for word in words))


def _checked(words: list[str]) -> list[str]:
    for word in words:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", word):
            raise ValueError(f"{word!r} is not a name of a lineage: use a-z, 0-9, - and .")
        near = difflib.get_close_matches(word, NAMES, n=1, cutoff=0.75)
        if near and not lineages_of_name(word):
            raise ValueError(
                f"{word!r} is nearly {near[0]!r}, which is another lineage; correct it, or "
                "choose a word of your own that is less like it"
            )
    return words


Lineage = Annotated[list[str], AfterValidator(_checked)]
"""What a model descends from: names of the table, or words of one's own."""
