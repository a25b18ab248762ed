"""Which guards watch a run."""

from __future__ import annotations

from dataclasses import dataclass

from ttsrl.config.guard_rules import GuardRule
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, did_you_mean
from ttsrl.guards.built_in import BUILT_IN
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import History
from ttsrl.guards.judging import bad_steps
from ttsrl.guards.measures import EVALUATION, measures_of_evaluations, measures_of_steps


@dataclass(frozen=True)
class Armed:
    """The guards of a run."""

    guards: tuple[Guard, ...]
    unarmed: dict[str, str]
    """Built-in guard -> the measure that the run does not log."""
    evaluated: bool
    """Whether checkpoints are evaluated while training continues."""

    @property
    def words(self) -> str:
        """What a start says of them."""
        waiting = [g.name for g in self.guards if g.of_evaluation and not self.evaluated]
        names = ", ".join(g.name for g in self.guards if g.name not in waiting) or "none"
        without = ", ".join(f"{name} ({measure})" for name, measure in self.unarmed.items())
        late = f"{', '.join(waiting)} judge the last model alone, without eval.during_training"
        return (
            f"guards: {names}"
            + (f"; {late}" if waiting else "")
            + (f"; not logged, so without {without}" if without else "")
        )


def armed(run: RunConfig, device: str | None = None) -> Armed:
    """The guards of a run, trained on a device; None: what the run names, which may be `auto`.

    Raises BadInput for one that could never trip.
    """
    known = measures_of_steps(run, device) | measures_of_evaluations(run)
    own = {rule.name: rule for rule in run.guards.rules}
    guards: list[Guard] = []
    unarmed: dict[str, str] = {}
    for name, rule in _rules(own, built_in=run.guards.built_in).items():
        guard = Guard.of(rule)
        if guard is None:
            continue
        absent = next((m for m in guard.measures if m not in known), None)
        if absent is None and name in own and guard.of_evaluation and guard.then != "warn":
            _check_evaluated(run, guard)
        if guard.then == "rollback":
            _check_rollback(run, guard)
        if absent is None:
            guards.append(guard)
        elif name in own:
            raise BadInput(
                f"guards.rules: the guard {name!r} watches {absent!r}, which this run does not log"
                f"{did_you_mean(absent, known)}"
            )
        else:
            unarmed[name] = absent
    return Armed(tuple(guards), unarmed, run.eval.during_training is not None)


def may_set_back(run: RunConfig) -> bool:
    """Whether a guard may set the run back. Raises BadInput for one that could never trip."""
    return run.guards.max_rollbacks > 0 and any(g.then == "rollback" for g in armed(run).guards)


def _check_rollback(run: RunConfig, guard: Guard) -> None:
    """Raises BadInput where a guard is to set a run back that has nothing to go back to."""
    told, train = f"guards.rules: the guard {guard.name!r} is to set the run back", run.train
    if not run.guards.max_rollbacks:
        raise BadInput(
            f"{told}, and guards.max_rollbacks = 0 allows that never; raise it, or give the guard "
            'then = "stop"'
        )
    if train.save_every >= train.steps:
        raise BadInput(
            f"{told}, and there is no checkpoint before the last step: train.save_every = "
            f"{train.save_every}, train.steps = {train.steps}; lower save_every, or give the guard "
            'then = "stop"'
        )


def _check_evaluated(run: RunConfig, guard: Guard) -> None:
    """Raises BadInput where a guard is to end a run on evaluations that come after its end."""
    during = run.eval.during_training
    suites = {m.split(".")[1] for m in guard.measures if m.startswith(EVALUATION)}
    if late := sorted(suites - ({during.suite} if during else set())):
        raise BadInput(
            f"guards.rules: the guard {guard.name!r} watches evaluations of {late[0]!r}, and none "
            f"is made while the run trains; set eval.during_training with suite = {late[0]!r}, or "
            'give the guard then = "warn"'
        )


def _rules(own: dict[str, GuardRule], *, built_in: bool) -> dict[str, GuardRule]:
    """Name -> rule: the built-in ones with the changes of the run's own, then its others."""
    rules = dict(BUILT_IN) if built_in else {}
    for name, rule in own.items():
        if name in BUILT_IN:
            changes = {k: v for k in rule.model_fields_set if (v := getattr(rule, k)) is not None}
            rules[name] = BUILT_IN[name].model_copy(update=changes)
        elif rule.when is None:
            raise BadInput(
                f"guards.rules: the guard {name!r} has no `when`, and no built-in guard has that "
                f"name{did_you_mean(name, BUILT_IN)}"
            )
        else:
            rules[name] = rule
    return rules


def broken(run: RunConfig, history: History) -> dict[int, list[str]]:
    """Step -> guards that were bad there, so that its model is not to be chosen."""
    steps: dict[int, list[str]] = {}
    for guard in armed(run).guards:
        for step in bad_steps(guard, history):
            steps.setdefault(step, []).append(guard.name)
    return steps
