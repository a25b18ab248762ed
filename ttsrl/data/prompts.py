"""Texts -> prompts: two parquet files in verl's format, training and held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from ttsrl.codecs.registry import takes_voice
from ttsrl.config.schema import RunConfig
from ttsrl.data.asked_styles import check_texts_have_styles
from ttsrl.data.fit import fit_where_known
from ttsrl.data.hearing import Hearings
from ttsrl.data.references import DataVoice, references_of
from ttsrl.data.speech_prefix import check_codes, prefix_of, tokens_per_s_of
from ttsrl.data.split import is_held_out, words
from ttsrl.data.texts import OPTIONAL, Text, Unwanted, read_texts
from ttsrl.data.told import check_prompts, conditions_of
from ttsrl.errors import BadInput, shorten
from ttsrl.families.conditions import UNCONDITIONED, Conditions
from ttsrl.families.registry import FAMILIES, family_class
from ttsrl.models.hub import local_folder
from ttsrl.models.labels import labels_of
from ttsrl.reward.components import Classifier, Speaker, Style
from ttsrl.storage.atomic import replace_file
from ttsrl.text.normalise import check_text

DATA_SOURCE = "ttsrl"

SCHEMA = pa.schema(
    {
        "data_source": pa.string(),
        "prompt": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "ability": pa.string(),
        "reward_model": pa.struct({"style": pa.string(), "ground_truth": pa.string()}),
        "extra_info": pa.struct(
            {
                "split": pa.string(),
                "index": pa.int64(),
                "text": pa.string(),
                "language": pa.string(),
                "id": pa.string(),
                "style": pa.string(),
                "speaker": pa.string(),
                "label": pa.string(),
                "speech_prefix": pa.list_(pa.int32()),
                "reference": pa.struct(
                    {
                        "text": pa.string(),
                        "tokens": pa.list_(pa.int32()),
                        "audio": pa.string(),
                        "sha256": pa.string(),
                    }
                ),
            }
        ),
    }
)


@dataclass(frozen=True)
class Prepared:
    """What became of the texts."""

    train: int
    held_out: int
    left_out: dict[str, int]
    """Why texts were not wanted (see DataConfig) -> how many, left out."""
    duplicates: int
    """Texts that stood in the data before, left out."""
    overlapping: int
    """Training texts left out because they contain a held-out text's words in their order."""
    prefixed: int
    """Training prompts that begin with real speech."""
    in_voices: int
    """Training texts that are spoken in the voice of a reference."""
    notes: list[str]
    """What could not be checked."""

    def __str__(self) -> str:
        """One line for people."""
        gone = [
            (self.duplicates, "repeated"),
            (self.overlapping, "that contain a held-out text"),
            *((count, f"whose text {reason}") for reason, count in self.left_out.items()),
        ]
        prefixed = f", {self.prefixed} of them with a speech prefix" if self.prefixed else ""
        prefixed += f", {self.in_voices} of them with a reference" if self.in_voices else ""
        left_out = ", ".join(f"{count} {why}" for count, why in gone if count) or "none"
        kept = f"{self.train} texts to train on{prefixed}, {self.held_out} held out"
        return "; ".join([kept, f"left out: {left_out}", *self.notes])


def prepare(
    run: RunConfig, out_dir: Path, on_progress: Callable[[int, int], None] | None = None
) -> Prepared:
    """Write `train.parquet` and `held_out.parquet` into `out_dir`; the same texts, the same files.

    `on_progress` gets (texts done, texts in all). Raises BadInput, and then has written nothing.
    """
    family, unchecked = fit_where_known(run)
    hearings = Hearings.of(run)

    def accept(text: Text) -> None:
        check_spoken(run, text.text, text.language, conditions_of(run, text))
        spoken = family_class(run.family).spoken(text.text)
        if beyond := hearings.too_much(spoken, text.language):
            raise Unwanted(*beyond)

    read = read_texts(run.data, accept)
    texts = read.texts
    _check_fields(run, texts)
    check_texts_have_styles(run, texts)
    first: dict[tuple[object, ...], Text] = {}
    for text in texts:
        same = text.text if run.data.duplicates == "text" else " ".join(words(text.text))
        tokens = tuple(text.prompt_tokens or ())
        carried = conditions_of(run, text).style, text.prompt_text, text.prompt_audio, tokens
        first.setdefault((same, *carried), text)
    unique = list(first.values())
    by_split: dict[str, list[Text]] = {"train": [], "held_out": []}
    for done, text in enumerate(unique, 1):
        held_out = is_held_out(text.text, run.data.held_out_fraction, run.data.split_key)
        by_split["held_out" if held_out else "train"].append(text)
        if on_progress and (done % 1000 == 0 or done == len(unique)):
            on_progress(done, len(unique))
    candidates = by_split["train"]
    by_split["train"] = _without_held_out_words(candidates, by_split["held_out"])
    prefixes = _prefixes(run, by_split["train"])
    voices = {split: _voices(run, chosen) for split, chosen in by_split.items()}
    prepared = Prepared(
        train=len(by_split["train"]),
        held_out=len(by_split["held_out"]),
        left_out=read.left_out,
        duplicates=len(texts) - len(unique),
        overlapping=len(candidates) - len(by_split["train"]),
        prefixed=sum(map(bool, prefixes)),
        in_voices=sum(map(bool, voices["train"])),
        notes=[*unchecked, *hearings.notes(), *read.notes, *_untold(run)],
    )
    if not prepared.train or not prepared.held_out:
        side = "training" if not prepared.train else "evaluation"
        raise BadInput(
            f"{run.data.texts}: no text is left for {side} ({prepared}; "
            f"data.held_out_fraction = {run.data.held_out_fraction}); "
            "give more texts or another fraction"
        )
    rows = {
        "train": [
            _row(run, "train", i, *of_text)
            for i, of_text in enumerate(
                zip(by_split["train"], prefixes, voices["train"], strict=True)
            )
        ],
        "held_out": [
            _row(run, "held_out", i, text, [], voice)
            for i, (text, voice) in enumerate(
                zip(by_split["held_out"], voices["held_out"], strict=True)
            )
        ],
    }
    if family is not None:
        infos = {split: [row["extra_info"] for row in of_split] for split, of_split in rows.items()}
        check_prompts(run, infos["train"], infos["held_out"], family)
    _write(rows, out_dir)
    return prepared


def are_prepared(folder: Path) -> bool:
    """Whether `prepare` has written there."""
    return all((folder / f"{name}.parquet").is_file() for name in ("train", "held_out"))


def check_spoken(
    run: RunConfig, text: str, language: str, conditions: Conditions = UNCONDITIONED
) -> None:
    """Refuse a text that the policy's family cannot take, of which nothing can be heard, or in a
    language that it cannot speak; and a condition that it cannot be told."""
    family = family_class(run.family)
    check_text(family.spoken(text), language)
    family.messages(text, conditions, run.prompt)
    if family.pronounces not in (None, language):
        others = {name: family_class(name).pronounces for name in FAMILIES}
        known = ", ".join(f"{name} ({code!r})" for name, code in others.items() if code)
        raise BadInput(
            f"the text {shorten(text)} is in language {language!r}, and {family.title} is told the "
            f"phonemes of {family.pronounces!r}; leave such texts out (data.only_languages), or "
            f"take the family of their language: {known}"
        )
    spoken = run.languages or family.languages
    if spoken is not None and language not in spoken:
        raise BadInput(
            f"the text {shorten(text)} is in language {language!r}, and {family.title} "
            f"speaks {', '.join(sorted(spoken))}; leave such texts out (data.only_languages), or "
            "set `languages` to those that a fine-tuned policy speaks"
        )


def _check_fields(run: RunConfig, texts: Iterable[Text]) -> None:
    """Refuse texts without the style, speaker or label that a component of the reward compares to,
    and labels that its classifier does not have."""
    for component in run.reward.components:
        match component:
            case Style(text=None):
                field, way_out = "style", "text"
            case Speaker(voice=None, voices=str()):
                field, way_out = "speaker", "voice"
            case Classifier():
                _check_labels(component, texts)
                if component.labels:
                    continue
                field, way_out = "label", "labels"
            case _:
                continue
        for text in texts:
            if getattr(text, field) is None:
                raise BadInput(
                    f"text {shorten(text.text)} names no {field}, and the reward's component "
                    f"{component.type} compares speech to it; give each text a {field!r}, or set "
                    f"the component's {way_out!r}"
                )


def _voices(run: RunConfig, texts: Sequence[Text]) -> list[DataVoice | None]:
    """The reference of each text, with its recording where something hears it: the codec speaks in
    that voice, a component of the reward compares with it, or the evaluation's speaker model does.

    Raises BadInput for a reference without the recording, and a text without a reference, that is
    needed.
    """
    voices = references_of(run, texts)
    compares = any(isinstance(c, Speaker) and c.voices is None for c in run.reward.components)
    if compares and not all(voices):
        raise BadInput(
            "the reward's component speaker compares speech with each text's reference, and a text "
            "has none; give prompt_audio and prompt_text, data.references, or the component's "
            "`voices`"
        )
    if not any(voices):
        return voices
    heard = compares or run.eval.speaker_model is not None
    if not heard and not takes_voice(str(local_folder(run.codec))):
        return [voice and replace(voice, audio=None, sha256=None) for voice in voices]
    bare = next((voice for voice in voices if voice is not None and voice.audio is None), None)
    if bare is not None:
        raise BadInput(
            f"the reference {shorten(bare.text)} has speech tokens and no recording, which is "
            "needed (CosyVoice2's codec speaks in its voice; the component speaker and "
            "eval.speaker_model compare with it); add prompt_audio, or encode it where the "
            "recordings are"
        )
    return voices


def _untold(run: RunConfig) -> list[str]:
    """What the reward compares each rollout with, and the policy is not told."""
    own = {
        "style": any(isinstance(c, Style) and c.text is None for c in run.reward.components),
        "label": any(isinstance(c, Classifier) and not c.labels for c in run.reward.components),
    }
    return [
        f"the reward compares speech with each text's {field}, which the policy is not told "
        f'(prompt.style_from = "{field}" tells it)'
        for field, compared in own.items()
        if compared and run.prompt.style_from != field
    ]


def _check_labels(component: Classifier, texts: Iterable[Text]) -> None:
    known = labels_of(component.model)
    for name in component.labels:
        known.index(name)
    for text in texts:
        if text.label is not None:
            try:
                known.index(text.label)
            except BadInput as error:
                raise BadInput(f"text {shorten(text.text)}: {error}") from None


def _prefixes(run: RunConfig, texts: Sequence[Text]) -> list[list[int]]:
    """The speech prefix of each text; empty where it has none."""
    prefix = run.data.prefix
    if prefix is None:
        return [[] for _ in texts]
    tokens_per_s, codebook_size = tokens_per_s_of(run, prefix)
    frame_tokens = family_class(run.family).speech.frame_tokens
    for text in texts:
        check_codes(text.text, text.speech_tokens, codebook_size, frame_tokens)
    prefixes = [
        prefix_of(text.text, text.speech_tokens, prefix, tokens_per_s, run.seed, frame_tokens)
        for text in texts
    ]
    if not any(prefixes):
        raise BadInput(
            f"{run.data.texts}: no recording is long enough for a prefix of {prefix.min_s:g} s in "
            f"its first {prefix.max_share:.0%}; lower data.prefix.min_s, or leave data.prefix out"
        )
    return prefixes


def _row(
    run: RunConfig,
    split: str,
    index: int,
    text: Text,
    prefix: list[int],
    voice: DataVoice | None,
) -> dict[str, Any]:
    family = family_class(run.family)
    return {
        "data_source": DATA_SOURCE,
        "prompt": family.messages(text.text, conditions_of(run, text, voice), run.prompt),
        "ability": "text-to-speech",
        "reward_model": {"style": "rule", "ground_truth": family.spoken(text.text)},
        "extra_info": {
            "split": split,
            "index": index,
            **{name: getattr(text, name) for name in ("text", *OPTIONAL)},
            "speech_prefix": prefix,
            "reference": voice.row if voice else None,
        },
    }


def _without_held_out_words(train: Sequence[Text], held_out: Iterable[Text]) -> list[Text]:
    """The training texts in which no held-out text's words stand in order, one after the other."""
    ends = object()
    trie: dict[Any, Any] = {}
    for text in held_out:
        node = trie
        for word in words(text.text):
            node = node.setdefault(word, {})
        if node is not trie:
            node[ends] = True

    def overlaps(text: Text) -> bool:
        spoken = words(text.text)
        for start in range(len(spoken)):
            node = trie
            for word in spoken[start:]:
                node = node.get(word)
                if node is None:
                    break
                if ends in node:
                    return True
        return False

    return [text for text in train if not overlaps(text)]


def _write(rows: dict[str, list[dict[str, Any]]], out_dir: Path) -> None:
    """Both files or none: each is renamed into place when both are complete."""
    out_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for split, rows_of_split in rows.items():
            path = stack.enter_context(replace_file(out_dir / f"{split}.parquet"))
            parquet.write_table(pa.Table.from_pylist(rows_of_split, schema=SCHEMA), path)
