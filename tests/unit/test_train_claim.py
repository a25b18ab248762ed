from pathlib import Path

import pytest

from jobs.train.claim import claim_run
from ttsrl.errors import BadInput
from ttsrl.settings import load_run
from ttsrl.storage import RunStore

TINY = Path(__file__).parents[2] / "examples" / "tiny" / "run.json"


def test_a_name_taken_by_another_configuration_is_refused(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "storage"), "run")
    claim_run(load_run(TINY), store)
    operation = ["train.steps=99", "train.metrics_port=9400", "reward.workers=2"]
    claim_run(load_run(TINY, operation), store)  # the same run
    with pytest.raises(BadInput, match=r"learning_rate is 0\.0004 there, 0\.001 here"):
        claim_run(load_run(TINY, ["train.learning_rate=0.001"]), store)
    with pytest.raises(BadInput, match="nodes is 1 there, 2 here"):
        claim_run(load_run(TINY, ["train.nodes=2", "train.prompts_per_step=16"]), store)
