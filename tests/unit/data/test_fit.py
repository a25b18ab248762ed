"""Whether policy and family fit, and whether what is said when they do not helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.data.fit import check_fit
from ttsrl.errors import BadInput


def refusal(*keys: str) -> str:
    with pytest.raises(BadInput) as raised:
        check_fit(load_run(TINY / "run.json", keys), TINY / "policy")
    return str(raised.value)


def test_a_model_of_another_family_is_told_to_be_one() -> None:
    said = refusal("family=orpheus")
    assert f"policy {TINY / 'policy'}: not a tokenizer of Orpheus" in said
    assert "give the family of this model, or a model of the family orpheus" in said


def test_a_marker_that_the_run_has_made_up_is_no_reason_to_change_the_family() -> None:
    said = refusal("prompt.request=<|whisper|>{text}")
    assert "'<|whisper|>', which the policy's tokenizer lacks; correct it" in said
    assert "give the family" not in said
    assert "policy " in said


def test_a_tokenizer_that_cannot_be_read_is_to_be_copied_again(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="copy its files again") as raised:
        check_fit(load_run(TINY / "run.json"), tmp_path)
    assert "give the family" not in str(raised.value)
