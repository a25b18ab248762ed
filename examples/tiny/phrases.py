"""phrases.arpa: word bigrams of the training texts, for a judge that knows a domain's words alone.

p(b | a) = 0.8 count(a b) / count(a) + 0.2 p(b)      (Jelinek and Mercer's interpolation)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from examples.tiny.domain import HERE, WORDS, held_out, read_texts

PATH = HERE / "phrases.arpa"
OF_BIGRAM = 0.8
END = "</s>"


def write_phrases() -> None:
    """Write it anew."""
    PATH.write_text("\n".join(_arpa()) + "\n")


def _arpa() -> Iterator[str]:
    texts = [["<s>", *words, END] for words in map(str.split, read_texts()) if not held_out(words)]
    words = Counter(word for text in texts for word in text)
    pairs = Counter(pair for text in texts for pair in pairwise(text))
    total = sum(words[word] for word in (*WORDS, END))
    alone = {word: words[word] / total for word in (*WORDS, END)}
    backoff = math.log10(1 - OF_BIGRAM)
    yield from ("\\data\\", f"ngram 1={len(alone) + 1}", f"ngram 2={len(pairs)}", "", "\\1-grams:")
    yield f"-99 <s> {backoff:.4f}"
    for word, share in alone.items():
        yield f"{math.log10(share):.4f} {word} {backoff:.4f}"
    yield from ("", "\\2-grams:")
    for (first, then), times in sorted(pairs.items()):
        share = OF_BIGRAM * times / words[first] + (1 - OF_BIGRAM) * alone[then]
        yield f"{math.log10(share):.4f} {first} {then}"
    yield from ("", "\\end\\")
