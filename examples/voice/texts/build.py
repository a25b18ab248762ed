"""Sentences that the voice is made of: training.txt.xz, prompts.jsonl and common_voice.jsonl.

python -m examples.voice.texts.build --wordnet FOLDER --lj-speech FILE [FILE ...]

FOLDER holds WordNet 3.0's data.noun, data.verb, data.adj and data.adv (Debian: wordnet-base). FILE
has LJ Speech's transcripts as `NAME|...|TRANSCRIPT` (its metadata.csv, or filelists made of it).
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from examples.voice.texts.cleaning import cleaned, words_of
from ttsrl.data.split import is_held_out

HERE = Path(__file__).parent
HELD_OUT_FRACTION = 0.06
"""As `data.held_out_fraction` of the runs: a hash of a prompt's words decides."""
PROMPTS = {"wordnet": 5_200, "lj_speech": 3_200}
LONGEST_PROMPT = 120
"""Characters."""
SHARED = 5
"""No text to train on has so many consecutive words of a held-out one."""


def main() -> None:
    """Read the sources, part them, write the three files."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--lj-speech", type=Path, nargs="+", required=True)
    given = parser.parse_args()
    rng = random.Random(1)
    known: set[str] = set()
    examples, definitions = wordnet(given.wordnet)
    common = unknown((HERE / "common_voice.txt").read_text().splitlines(), known, rng)
    spoken = unknown(transcripts(given.lj_speech), known, rng)
    quoted = unknown(examples, known, rng)
    defined = unknown(definitions, known, rng)

    prompts = [
        (source, text)
        for source, texts in (("wordnet", quoted), ("lj_speech", spoken))
        for text in [t for t in texts if is_prompt(t)][: PROMPTS[source]]
    ]
    held = [text for _, text in prompts if is_held_out(text, HELD_OUT_FRACTION, "words")]
    judged = set(chain.from_iterable(shingles(text) for text in held + common))
    prompts = [(s, t) for s, t in prompts if t in held or judged.isdisjoint(shingles(t))]
    kept = {text for _, text in prompts}
    natural = [t for t in spoken + quoted if t not in kept and judged.isdisjoint(shingles(t))]
    defined = [text for text in defined if judged.isdisjoint(shingles(text))]
    rng.shuffle(natural)
    rng.shuffle(prompts)
    write(mixed(natural, defined), prompts, common)
    print(f"{len(natural)} sentences and {len(defined)} definitions to train on,")
    print(f"{len(prompts)} prompts, {len(held)} of them held out, {len(common)} of Common Voice")


def wordnet(folder: Path) -> tuple[list[str], list[str]]:
    """Example sentences and definitions of all glosses."""
    examples: list[str] = []
    definitions: list[str] = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin1").splitlines():
            if line.startswith("  ") or "|" not in line:
                continue
            gloss = line.split("|", 1)[1]
            examples += re.findall(r'"([^"]+)"', gloss)
            definitions.append(re.sub(r'"[^"]*"([^;"]*)', "", gloss).strip(" ;"))
    return examples, definitions


def transcripts(files: list[Path]) -> Iterator[str]:
    """The last column of files of LJ Speech."""
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            yield line.rsplit("|", 1)[-1]


def unknown(texts: Iterator[str] | list[str], known: set[str], rng: random.Random) -> list[str]:
    """Clean sentences of words that were not there before, in random order."""
    found: list[str] = []
    for text in texts:
        sentence = cleaned(text)
        if sentence and (words := " ".join(words_of(sentence))) not in known:
            known.add(words)
            found.append(sentence)
    rng.shuffle(found)
    return found


def is_prompt(text: str) -> bool:
    """Whether GRPO or an evaluation may ask for it."""
    return len(text) <= LONGEST_PROMPT and len(words_of(text)) >= SHARED


def shingles(text: str) -> set[str]:
    """Every SHARED consecutive words; all words of a shorter text."""
    words = words_of(text)
    return {" ".join(words[i : i + SHARED]) for i in range(max(1, len(words) - SHARED + 1))}


def mixed(natural: list[str], defined: list[str]) -> list[str]:
    """Two sentences, one definition, as long as there are any."""
    mix: list[str] = []
    first, second = list(natural), list(defined)
    while first or second:
        mix += [first.pop() for _ in range(min(2, len(first)))]
        mix += [second.pop() for _ in range(min(1, len(second)))]
    return mix


def write(training: list[str], prompts: list[tuple[str, str]], common: list[str]) -> None:
    """The three files."""
    with lzma.open(HERE / "training.txt.xz", "wt", preset=9, encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in training)
    with (HERE / "prompts.jsonl").open("w", encoding="utf-8") as file:
        for source, text in prompts:
            file.write(json.dumps({"text": text, "label": source}) + "\n")
    with (HERE / "common_voice.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in common)


if __name__ == "__main__":
    main()
