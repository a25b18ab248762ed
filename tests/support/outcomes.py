"""An outcome of the kind that a test expects, so that what only that kind has can be read."""

from ttsrl.wire import Failed, Gated, Ok, Outcome


def ok(outcome: Outcome) -> Ok:
    assert isinstance(outcome, Ok), outcome
    return outcome


def gated(outcome: Outcome) -> Gated:
    assert isinstance(outcome, Gated), outcome
    return outcome


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome
