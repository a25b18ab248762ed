from typing import Any

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.training.cluster import too_small
from ttsrl.training.verl_args import cpus_of_machine

TINY_RUN = TINY / "run.json"
TWO = load_run(TINY_RUN, ["train.nodes=2", "train.gpus_per_node=2"])


def node(gpus: float, cpus: float, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"GPU": gpus, "CPU": cpus, "memory": 1e9}}


def test_a_cluster_with_the_machines_of_the_run_is_large_enough() -> None:
    head, cpus = {"Alive": True, "Resources": {}}, cpus_of_machine(TWO, "cuda")
    assert too_small([head, node(2, cpus), node(8, 96)], TWO, "cuda") is None


def test_a_machine_that_is_gone_or_has_too_few_slots_does_not_count() -> None:
    cpus = cpus_of_machine(TWO, "cuda")
    for second in (node(2, 32, alive=False), node(1, 32), node(2, cpus - 1)):
        problem = too_small([node(2, cpus), second], TWO, "cuda")
        assert problem is not None
        assert "train.nodes = 2" in problem
        assert "1 of this cluster have them" in problem


def test_the_engine_of_a_cpu_takes_a_slot_for_each_rank() -> None:
    assert cpus_of_machine(TWO, "cpu") == cpus_of_machine(TWO, "cuda") + 2
