"""Train the tiny stack from nothing: texts, codec, then both recognisers and the policy.

python -m examples.tiny.build            # resumes after an interruption
python -m examples.tiny.build --again    # from the beginning

Needs flite and half an hour of two cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from examples.tiny.domain import HERE

if TYPE_CHECKING:
    from ttsrl.codecs.tiny import TinyCodec

DONE = Path(".cache/tiny")
"""Holds a file for each finished stage."""
STAGES = [["texts"], ["codec"], ["whisper", "judge", "policy"]]
"""In each row what may run side by side; a row needs those above it."""


def main() -> None:
    """Run the stages that are not done yet."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--again", action="store_true", help="forget the finished stages")
    if parser.parse_args().again:
        shutil.rmtree(DONE, ignore_errors=True)
    DONE.mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(STAGES):
        todo = [stage for stage in row if not (DONE / stage).exists()]
        for later in (stage for row in STAGES[i + 1 :] for stage in row if todo):
            (DONE / later).unlink(missing_ok=True)
        _side_by_side(todo)


def run(stage: str) -> None:
    """Run one stage on one thread, and leave its marker last."""
    import torch

    # Two processes of one thread each: threads of two trainings would wait for each other.
    torch.set_num_threads(1)
    start = time.monotonic()
    match stage:
        case "texts":
            from examples.tiny import phrases, texts

            texts.write_texts()
            phrases.write_phrases()
        case "codec":
            from examples.tiny import spoken, train_codec, word_tokens

            train_codec.save(train_codec.train(), HERE / "codec")
            word_tokens.write_word_tokens()
            spoken.write_clips()
        case "whisper":
            from examples.tiny import train_whisper

            train_whisper.save(*train_whisper.train(_codec()), HERE / "whisper")
        case "judge":
            from examples.tiny import train_judge

            train_judge.save(*train_judge.train(_codec()), HERE / "judge")
        case "policy":
            from examples.tiny import train_policy

            train_policy.save(*train_policy.train(_codec().codebook_size), HERE / "policy")
        case other:
            raise ValueError(f"unknown stage {other!r}")
    took = f"{stage}: {time.monotonic() - start:.0f} s"
    print(took, flush=True)
    (DONE / stage).write_text(took + "\n")


def _side_by_side(stages: list[str]) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=2, mp_context=context, max_tasks_per_child=1) as pool:
        for finished in as_completed([pool.submit(run, stage) for stage in stages]):
            finished.result()


def _codec() -> TinyCodec:
    from ttsrl.codecs.tiny import TinyCodec

    return TinyCodec.load(str(HERE / "codec"))


if __name__ == "__main__":
    main()
