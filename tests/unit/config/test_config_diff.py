"""Two configurations side by side: each value that differs, by its key."""

import pytest

from ttsrl.config.diff import Difference, describe, differences


def test_each_value_that_differs_is_named_by_its_key() -> None:
    theirs = {"a": {"b": 1, "same": [1]}, "list": [{"x": 1}, {"x": 2}], "gone": None}
    ours = {"a": {"b": 2, "same": [1]}, "list": [{"x": 1}, {"x": "3"}], "new": True}
    assert describe(theirs, ours) == (
        "a.b is 1 there, 2 here; gone is null there, not set here; list[1].x is 2 there, "
        '"3" here; new is not set there, true here'
    )
    assert list(differences(theirs["a"], ours["a"])) == [Difference(("b",), 1, 2)]
    assert describe(ours, ours) == ""


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}, "a is [1, 2] there, [1, 3] here"),
        ({"a": [{"x": 1}]}, {"a": []}, 'a is [{"x": 1}] there, [] here'),
        ({"a": None}, {"a": {"x": 1}}, 'a is null there, {"x": 1} here'),
        ({"a": {}}, {"a": 1}, "a is {} there, 1 here"),
    ],
)
def test_what_has_no_common_parts_is_shown_whole(theirs: object, ours: object, told: str) -> None:
    assert describe(theirs, ours) == told


def test_of_many_differences_the_first_ones_are_told_and_the_others_counted() -> None:
    theirs, ours = dict.fromkeys("abcde", 0), dict.fromkeys("abcde", 1)
    assert describe(theirs, ours, most=4).endswith("d is 0 there, 1 here; and 1 more")
    assert "more" not in describe(theirs, ours, most=5)
