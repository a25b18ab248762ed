"""The mask of vLLM's running batch, as its LogitsProcessor calls it; vLLM itself is for GPUs."""

import torch

from ttsrl.training.plugin.speech_mask import SpeechMask

FIRST, SIZE, PLACES, STOP = 10, 4, 3, 2
IN_FRAME = [
    [*([STOP] if place == 0 else []), *range(FIRST + place * SIZE, FIRST + (place + 1) * SIZE)]
    for place in range(PLACES)
]
VOCABULARY = 30


def allowed(mask: SpeechMask, rows: int) -> list[list[int]]:
    logits = torch.arange(rows * VOCABULARY, dtype=torch.float32).view(rows, VOCABULARY)
    before = logits.clone()
    after = mask.apply(logits)
    assert after is logits, "vLLM continues with what it gave"
    kept = after > -torch.inf
    assert torch.equal(after[kept], before[kept])
    return [row.nonzero().flatten().tolist() for row in kept]


def test_a_codebook_without_frames_is_the_same_for_all_rows() -> None:
    mask = SpeechMask([[STOP, *range(FIRST, VOCABULARY)]], torch.device("cpu"))
    assert allowed(mask, 2) == [[STOP, *range(FIRST, VOCABULARY)]] * 2


def test_each_row_goes_on_at_its_own_place_while_requests_come_and_go() -> None:
    mask = SpeechMask(IN_FRAME, torch.device("cpu"))
    new: list[int] = []
    running, preempted = [FIRST], [0] * (2 * PLACES + 2)
    mask.change([], [(0, new), (1, running), (2, preempted)], [])
    assert allowed(mask, 3) == [IN_FRAME[0], IN_FRAME[1], IN_FRAME[2]]
    for response in (new, running, preempted):
        response.append(-1)  # a placeholder, until the token of the step before has arrived
    assert allowed(mask, 3) == [IN_FRAME[1], IN_FRAME[2], IN_FRAME[0]]
    mask.change([], [], [(0, 2, True)])
    assert allowed(mask, 3) == [IN_FRAME[0], IN_FRAME[2], IN_FRAME[1]]
    mask.change([0], [], [(2, 0, False)])
    assert allowed(mask, 2) == [IN_FRAME[1], IN_FRAME[2]]
    mask.change([1], [(1, [])], [])
    assert allowed(mask, 2) == [IN_FRAME[1], IN_FRAME[0]]
