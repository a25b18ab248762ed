"""What vLLM is asked for with each rollout."""

from __future__ import annotations

from typing import Any

from ttsrl.config.schema import RunConfig


def asked_of_vllm(run: RunConfig) -> dict[str, Any]:
    """Sampling parameters beside the run's own: token ids and log-probabilities, no text, once.

    Text of each token, an object per log-probability, and what vLLM hands over again with each
    token are CPU work of one thread, as long as a step of the GPU with 128 rollouts. vLLM's
    `stream_interval` does not help: it holds for differences alone, and verl reads the whole.
    """
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    asked: dict[str, Any] = {"detokenize": False, "flat_logprobs": True}
    if run.train.asynchronous is None:
        asked["output_kind"] = RequestOutputKind.FINAL_ONLY
    # else verl interrupts rollouts, and waits until each that was begun has handed a token over
    return asked
