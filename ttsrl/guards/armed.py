"""Which guards watch a run."""

from __future__ import annotations

from dataclasses import dataclass

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.guard_rules import GuardRule
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, did_you_mean
from ttsrl.guards.built_in import BUILT_IN
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import History
from ttsrl.guards.judging import bad_steps
from ttsrl.guards.measures import (
    EVALUATION,
    measures_during_training,
    measures_of_evaluations,
    measures_of_steps,
)
from ttsrl.guards.planned import planned_evaluations


@dataclass(frozen=True)
class Armed:
    """The guards of a run."""

    guards: tuple[Guard, ...]
    unarmed: dict[str, str]
    """Built-in guard -> the measure that the run does not log."""
    late: tuple[str, ...]
    """Guards on evaluations that come after training alone."""
    short: tuple[str, ...]
    """Guards that take more steps, or evaluations, than the run has after its base."""

    @property
    def words(self) -> str:
        """What a start says of them."""
        watching = (g.name for g in self.guards if g.name not in {*self.late, *self.short})
        names = ", ".join(watching) or "none"
        without = ", ".join(f"{name} ({measure})" for name, measure in self.unarmed.items())
        late = (
            f"{', '.join(self.late)} judge the last model alone: eval.during_training has no "
            "evaluation for them before"
        )
        short = f"the run is too short for {', '.join(self.short)}"
        return (
            f"guards: {names}"
            + (f"; {late}" if self.late else "")
            + (f"; {short}" if self.short else "")
            + (f"; not logged, so without {without}" if without else "")
        )


def armed(run: RunConfig, device: str | None = None) -> Armed:
    """The guards of a run, trained on a device; None: what the run names, which may be `auto`.

    Raises BadInput for one on a measure that the run does not log.
    """
    known = measures_of_steps(run, device) | measures_of_evaluations(run)
    beside = measures_during_training(run)
    own = {rule.name: rule for rule in run.guards.rules}
    guards: list[Guard] = []
    unarmed: dict[str, str] = {}
    for name, rule in _rules(own, run).items():
        guard = Guard.of(rule)
        if guard is None:
            continue
        absent = next((m for m in guard.measures if m not in known), None)
        if absent is None and name in own and guard.of_evaluation and guard.then != "warn":
            _check_evaluated(run, guard, beside)
        if guard.then == "rollback":
            _check_rollback(run, guard)
        if absent is None:
            guards.append(guard)
        elif name in own:
            raise BadInput(
                f"guards.rules: the guard {name!r} watches {absent!r}, which this run does not log"
                f"{did_you_mean(absent, sorted(known))}"
            )
        else:
            unarmed[name] = absent
    if planned_evaluations(run) < 2:  # that of the last model
        beside = set()
    late = tuple(guard.name for guard in guards if _after_training(guard, beside))
    short = tuple(g.name for g in guards if g.name not in late and _is_too_long(g, run))
    return Armed(tuple(guards), unarmed, late, short)


def _after_training(guard: Guard, beside: set[str]) -> list[str]:
    """Its measures that no evaluation has while the run trains."""
    return [m for m in guard.measures if m.startswith(EVALUATION) and m not in beside]


def _is_too_long(guard: Guard, run: RunConfig) -> bool:
    """Whether it takes more steps, or evaluations, than there are to judge."""
    after_base = run.train.steps - run.guards.base_steps
    there = planned_evaluations(run) if guard.of_evaluation else after_base
    return guard.takes > there


def may_set_back(run: RunConfig) -> bool:
    """Whether a guard may set the run back. Raises BadInput as `armed` does."""
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


def _check_evaluated(run: RunConfig, guard: Guard, beside: set[str]) -> None:
    """Raises BadInput where a guard is to end a run on evaluations that come after its end."""
    if not (late := _after_training(guard, beside)):
        return
    during, suite = run.eval.during_training, late[0].split(".")[1]
    told = f"guards.rules: the guard {guard.name!r} watches"
    if during is None or during.suite != suite:
        raise BadInput(
            f"{told} evaluations of {suite!r}, and none is made while the run trains; set "
            f"eval.during_training with suite = {suite!r}, or give the guard "
            'then = "warn"'
        )
    judges = ", ".join(judge.name for judge in run.eval.judges_during_training())
    raise BadInput(
        f"{told} {late[0]!r}, and the judges of eval.during_training ({judges}) do not tell it; "
        'name others there, or give the guard then = "warn"'
    )


def _rules(own: dict[str, GuardRule], run: RunConfig) -> dict[str, GuardRule]:
    """Name -> rule: the built-in ones with the changes of the run's own, then its others."""
    built_in = {name: _of_suite(rule, suite_of_guards(run)) for name, rule in BUILT_IN.items()}
    rules = dict(built_in) if run.guards.built_in else {}
    for name, rule in own.items():
        if name in built_in:
            changes = {k: v for k in rule.model_fields_set if (v := getattr(rule, k)) is not None}
            rules[name] = built_in[name].model_copy(update=changes)
        elif rule.when is None:
            raise BadInput(
                f"guards.rules: the guard {name!r} has no `when`, and no built-in guard has that "
                f"name{did_you_mean(name, BUILT_IN)}"
            )
        else:
            rules[name] = rule
    return rules


def suite_of_guards(run: RunConfig) -> str:
    """The suite whose evaluations the built-in guards and a rollback's target look at."""
    during = run.eval.during_training
    return HELD_OUT if during is None else during.suite


def _of_suite(rule: GuardRule, suite: str) -> GuardRule:
    """A built-in rule, as it looks at the evaluations of a suite."""
    usual, wanted = f"{EVALUATION}{HELD_OUT}.", f"{EVALUATION}{suite}."
    when = [
        condition.model_copy(update={"measure": condition.measure.replace(usual, wanted)})
        for condition in rule.when or []
    ]
    return rule.model_copy(update={"when": when})


def broken(run: RunConfig, history: History) -> dict[int, list[str]]:
    """Step -> guards that were bad there, so that its model is not to be chosen."""
    steps: dict[int, list[str]] = {}
    for guard in armed(run).guards:
        for step in bad_steps(guard, history):
            steps.setdefault(step, []).append(guard.name)
    return steps
