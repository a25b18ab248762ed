"""The nearest readings of two lattices are those that listing every pair finds."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from ttsrl.text.automaton import automaton
from ttsrl.text.lattice import Choice, Reading, choice, expansions, letters
from ttsrl.text.nearest import nearest, same_sound

WORDS = st.text(alphabet="ab", min_size=1, max_size=3)
PARTS = st.recursive(
    WORDS,
    lambda parts: st.lists(st.lists(parts, max_size=2).map(tuple), min_size=2, max_size=3).map(
        lambda readings: next(iter(choice(readings)), "a")
    ),
    max_leaves=5,
)
READINGS = st.lists(PARTS, max_size=4).map(tuple)


def distance(one: str, other: str) -> int:
    """Of their letters."""
    return Levenshtein.distance(letters(one), letters(other))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(said=READINGS, heard=READINGS)
def test_no_pair_of_readings_is_nearer(said: Reading, heard: Reading) -> None:
    every = [(one, other) for one in expansions(said) for other in expansions(heard)]
    least = min(distance(*pair) for pair in every)
    with mock.patch("ttsrl.text.nearest.FIRST_LIMIT", 1):  # so that it looks wider, too
        found = nearest(said, heard)
    assert distance(*found) == least
    assert same_sound(automaton(said), automaton(heard)) == (least == 0)
    if least:
        assert found in every
    else:
        usual = letters(expansions(said)[0])
        assert [letters(text) for text in found] == [usual, usual]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(reading=READINGS)
def test_an_automaton_spells_the_readings_and_no_others(reading: Reading) -> None:
    graph = automaton(reading)

    def spelled(node: int) -> set[str]:
        texts = {""} if node in graph.ends else set()
        for (letter, begins), target in graph.steps[node]:
            assert target > node
            texts |= {" " * begins + letter + rest for rest in spelled(target)}
        return texts

    assert {text.strip() for text in spelled(0)} == set(expansions(reading))


def test_every_pair_counts_however_many_there_are() -> None:
    """4 ** 40 readings on each side, of which the last ones are said."""
    said = [Choice((("one",), ("two",), ("three",), (f"last {n}",))) for n in "abcdefghij" * 4]
    heard = [Choice((("five",), ("six",), ("seven",), (f"last {n}",))) for n in "abcdefghij" * 4]
    heard[20] = Choice((("eight",), ("last x",)))
    found = nearest(tuple(said), tuple(heard))
    assert distance(*found) == 1
    assert found[0] == " ".join(f"last {n}" for n in "abcdefghij" * 4)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        # both texts begin with the same choice, and are equal if it is read in two ways
        ((Choice((("a",), ("a", "b"))), "c"), (Choice((("a",), ("a", "b"))), "b", "c")),
        ((Choice(((), ("um",))), "so"), (Choice(((), ("um",))), "um", "so")),
    ],
)
def test_an_equal_choice_may_be_read_in_two_ways(said: Reading, heard: Reading) -> None:
    assert distance(*nearest(said, heard)) == 0


def test_a_wholly_different_text_is_compared_in_full() -> None:
    said = tuple(Choice(((word, "x"), (word,))) for word in ["alpha", "beta", "gamma"] * 10)
    one, other = nearest(said, ("q",) * 300)
    assert {*one.split()} <= {"alpha", "beta", "gamma", "x"}
    assert distance(one, other) == 300
