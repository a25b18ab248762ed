"""Make the demonstration's models and texts anew, from the tiny stack.

python -m examples.styles.build    # a quarter of an hour on one core
"""

from __future__ import annotations

import json
import random

from examples.styles import train_classifier, train_policy
from examples.styles.domain import HERE, STYLES, phrase
from examples.tiny.domain import HERE as TINY
from examples.tiny.train_policy import save
from ttsrl.codecs.tiny import TinyCodec

TEXTS = 1_200


def write_texts() -> None:
    """texts.jsonl: phrases, each with the style in which it is to be said."""
    rng = random.Random(6)
    texts: dict[str, str] = {}
    while len(texts) < TEXTS:
        texts.setdefault(" ".join(phrase(rng)), STYLES[len(texts) % len(STYLES)])
    lines = [json.dumps({"text": text, "label": style}) for text, style in texts.items()]
    (HERE / "texts.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Texts, then the classifier, then the policy."""
    write_texts()
    codec = TinyCodec.load(str(TINY / "codec"))
    train_classifier.save(train_classifier.train(codec), HERE / "classifier")
    save(*train_policy.train(codec.codebook_size), HERE / "policy")


if __name__ == "__main__":
    main()
