"""An output head with weights of its own belongs to the root of FSDP2's units, as a tied one does.

verl's fused soft-max reads `lm_head.weight` without calling `lm_head`. As a unit of its own, which
verl 0.9.1 makes of it, the head is then never gathered, and the first log-probability fails
(pull request 7427 of verl-project/verl tells of it).
"""

from __future__ import annotations

from typing import Any

import verl.utils.fsdp_utils

fsdp_utils: Any = verl.utils.fsdp_utils
_units_of_verl = fsdp_utils._select_fsdp2_wrap_targets


def _units(model: Any, layers: list[str]) -> list[Any]:
    """Modules that are gathered each for itself."""
    head = model.get_output_embeddings()
    return [module for module in _units_of_verl(model, layers) if module is not head]


fsdp_utils._select_fsdp2_wrap_targets = _units
