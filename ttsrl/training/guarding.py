"""The guards of a run at work: told of each step, they say what is wrong, or ask for the end.

Events are lines of guards.jsonl, here and in storage: a run that a guard stopped says so again when
it is started again, until the guard is changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.guards.armed import armed, broken, suite_of_guards
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import History
from ttsrl.guards.judging import Trip, judge
from ttsrl.guards.measures import EVALUATION
from ttsrl.guards.nearness import nearness
from ttsrl.records.guard import GUARDS, GuardEvent, stopped_by
from ttsrl.records.record import append_lines, parse, read_lines, write_lines
from ttsrl.records.step import TrainingStep
from ttsrl.storage.run_store import RunStore
from ttsrl.training.set_back import keep_log, set_back

STOP_FILE = "stop"
"""In the run's `train` folder: the trainer saves a checkpoint after its step and leaves."""


@dataclass(frozen=True)
class GuardState:
    """How a guard stands."""

    guard: Guard
    is_tripped: bool
    """Whether its conditions hold now."""
    trips: int
    nearness: float | None
    """See `ttsrl.guards.nearness`; None until it is judged."""


class GuardWatch:
    """What the guards of a run have seen and found."""

    def __init__(
        self, run: RunConfig, store: RunStore, train_dir: Path, device: str | None = None
    ) -> None:
        """`device` is what the run trains on. Raises BadInput for a guard that could never trip."""
        self.armed = armed(run, device)
        self.history = History(run.guards.base_steps)
        self.tripped: dict[str, Trip] = {}
        """Guards whose conditions hold now."""
        self.stop: Trip | None = None
        """Why the run is to end."""
        self.rollback: Trip | None = None
        """Why the run is to be set back."""
        self.events: list[GuardEvent] = []
        self._nearness: dict[str, float] = {}
        self._run = run
        self._store = store
        self._log = train_dir / GUARDS
        self._stop_file = train_dir / STOP_FILE

    def save_and_end(self) -> None:
        """Have the trainer save a checkpoint after its step, and leave."""
        self._stop_file.touch()

    @property
    def rollbacks(self) -> int:
        """How often the run has been set back."""
        return sum(event.event == "rolled_back" for event in self.events)

    @property
    def learning_rate_ratio(self) -> float:
        """What is left of the learning rate."""
        return self._run.guards.rollback_learning_rate**self.rollbacks

    def states(self) -> Iterable[GuardState]:
        """Each guard as it stands now."""
        for guard in self.armed.guards:
            trips = sum((e.guard, e.event) == (guard.name, "tripped") for e in list(self.events))
            yield GuardState(
                guard, guard.name in self.tripped, trips, self._nearness.get(guard.name)
            )

    def finish_rollback(self) -> None:
        """Do what a rollback does that has begun, here or in a start that was killed."""
        self.events = list(self._known_events())
        last = next((e for e in reversed(self.events) if e.to_step is not None), None)
        if last is None or last.event != "rolling_back" or last.to_step is None:
            return
        self._store.take_back(last.to_step)
        set_back(self._log.parent / "checkpoints", last.to_step)
        done = last.model_copy(update={"event": "rolled_back", "at_s": time.time()})
        self.events.append(done)
        write_lines(self._log, self.events)
        self._publish()
        rate = self._run.train.learning_rate * self.learning_rate_ratio
        print(f"{last.said}; learning rate {rate:g} from now on", flush=True)

    def begin_rollback(self) -> None:
        """Write down what is to happen, so that a kill does not leave it half done."""
        assert self.rollback is not None
        target = self._target(self.rollback.first)
        place = f"step {target}" if target else "the beginning"
        found = _event(self.rollback)
        said = f"guard {found.guard} sets the run back to {place}"
        begun = found.model_copy(update={"event": "rolling_back", "to_step": target, "said": said})
        self.events.append(begun)
        write_lines(self._log, self.events)
        self._store.storage.write_text(self._store.guards_log, self._log.read_text())
        keep_log(self._log.parent, self.rollbacks + 1)

    def _target(self, first_bad: int) -> int:
        """The best checkpoint before the first bad step that broke no guard; 0: none."""
        bad = broken(self._run, self.history)
        steps = [
            step for step in self._store.list_checkpoints() if step < first_bad and step not in bad
        ]
        measure = f"{EVALUATION}{suite_of_guards(self._run)}.cer"
        heard = {
            step: cer
            for step in steps
            if (cer := self.history.evaluated(step, measure)) is not None
        }
        return min(heard, key=lambda step: (heard[step], step)) if heard else max(steps, default=0)

    def check_stopped(self, step: int) -> None:
        """Raises Stopped where a guard has ended the run, and is as it was; nothing is changed.

        `step`: of the checkpoint from which the run would continue.
        """
        self._refuse_stopped(self._events_until(step), step)

    def resume(self, step: int) -> None:
        """Take up what is known of a run that goes on from a step. Raises Stopped."""
        self._stop_file.unlink(missing_ok=True)
        self.events = self._events_until(step)
        self._refuse_stopped(self.events, step)
        self._clear_stop()
        write_lines(self._log, self.events)
        for one in self._known_steps(step):
            self.history.add_step(one)
        open_now = {e.guard for e in self.events if e.event == "tripped"}
        for guard in self.armed.guards:
            if guard.name in open_now and (found := judge(guard, self.history)) is not None:
                self.tripped[guard.name] = found

    def on_step(self, step: TrainingStep) -> None:
        """A step has ended."""
        self.history.add_step(step)
        self._judge(guard for guard in self.armed.guards if not guard.of_evaluation)

    def on_evaluations(self, measured: Mapping[int, Mapping[str, float]]) -> None:
        """Evaluations of the run's models, by step, have come."""
        for step, measures in measured.items():
            self.history.add_evaluation(step, measures)
        if measured:
            self._judge(guard for guard in self.armed.guards if guard.of_evaluation)

    def end(self) -> None:
        """The trainer has ended. Raises Stopped where a guard has asked for it."""
        if self.stop is not None:
            published = self._store.newest_checkpoint() or 0
            raise Stopped(f"{self.stop.said}; {self._way_out(published)}")

    def _judge(self, guards: Iterable[Guard]) -> None:
        for guard in guards:
            if (near := nearness(guard, self.history)) is not None:
                self._nearness[guard.name] = near.share
            found = judge(guard, self.history)
            if found is None:
                if self.tripped.pop(guard.name, None) is not None:
                    self._tell(self._cleared(guard))
                continue
            new = guard.name not in self.tripped and not self._is_told(found)
            self.tripped[guard.name] = found
            if new:
                self._tell(_event(found))
                self._act(found)

    def _is_told(self, found: Trip) -> bool:
        """Whether an earlier start has said so: evaluations are all read again by each."""
        return any(
            event.event == "tripped" and event.step == found.step
            for event in self.events
            if (event.guard, event.digest) == (found.guard.name, found.guard.digest)
        )

    def _act(self, found: Trip) -> None:
        if found.guard.then == "warn" or self.stop or self.rollback:
            return
        if found.guard.then == "rollback" and self.rollbacks < self._run.guards.max_rollbacks:
            self.rollback = found
        else:
            self._ask_to_stop(found)

    def _tell(self, event: GuardEvent) -> None:
        print(event.said, flush=True)
        self.events.append(event)
        append_lines(self._log, [event])

    def _ask_to_stop(self, found: Trip) -> None:
        self.stop = found
        self._publish()
        self.save_and_end()

    def _publish(self) -> None:
        try:
            self._store.storage.write_text(self._store.guards_log, self._log.read_text())
        except (BadInput, Failure) as error:
            print(f"guards.jsonl not published yet: {error}", flush=True)

    def _events_until(self, step: int) -> list[GuardEvent]:
        return [e for e in self._known_events() if e.step <= step or e.to_step is not None]

    def _refuse_stopped(self, events: Sequence[GuardEvent], step: int) -> None:
        """Raises Stopped where a guard that still watches the same has ended the run."""
        last = stopped_by(events, self._run.guards.max_rollbacks)
        watching = {(guard.name, guard.digest) for guard in self.armed.guards}
        if last is not None and (last.guard, last.digest) in watching:
            raise Stopped(f"{last.said}; {self._way_out(step)}")

    def _clear_stop(self) -> None:
        """What ended the run is done with: its guard is another one now."""
        last = stopped_by(self.events, self._run.guards.max_rollbacks)
        if last is None:  # or killed before it was set back: the guard trips again, or it need not
            return
        said = f"guard {last.guard} stopped this run at step {last.step}, and is changed: going on"
        print(said, flush=True)
        self.events.append(
            last.model_copy(update={"event": "cleared", "said": said, "at_s": time.time()})
        )

    def _known_events(self) -> Sequence[GuardEvent]:
        """Those in storage, or of this machine where more are here."""
        key = self._store.guards_log
        text = self._store.storage.read_text(key) or ""
        place = self._store.storage.address(key)
        there = [parse(GuardEvent, line, place) for line in text.splitlines()]
        here = read_lines(GuardEvent, self._log)
        return max(here, there, key=len)

    def _known_steps(self, step: int) -> list[TrainingStep]:
        """The steps up to a published checkpoint, as that keeps them."""
        key = f"{self._store.checkpoint(step)}/log/steps.jsonl"
        text = self._store.storage.read_text(key) if step else None
        place = self._store.storage.address(key)
        steps = [parse(TrainingStep, line, place) for line in (text or "").splitlines()]
        return [one for one in steps if one.step <= step]

    def _cleared(self, guard: Guard) -> GuardEvent:
        step = self.history.last_step
        return GuardEvent(
            event="cleared",
            guard=guard.name,
            digest=guard.digest,
            then=guard.then,
            first=step,
            step=step,
            said=f"guard {guard.name} at step {step}: within its limits again",
            at_s=time.time(),
        )

    def _way_out(self, step: int) -> str:
        return (
            f"the checkpoint of step {step} is published; to continue from it all the same, change "
            "the guard in guards.rules, and the same command resumes"
        )


def _event(found: Trip) -> GuardEvent:
    return GuardEvent(
        event="tripped",
        guard=found.guard.name,
        digest=found.guard.digest,
        then=found.guard.then,
        first=found.first,
        step=found.step,
        figures=list(found.figures),
        said=found.said,
        at_s=time.time(),
    )
