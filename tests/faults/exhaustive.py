"""Every state that two workers and one job can reach, whatever fails: all of them are visited, and none may break a promise.

    python -m tests.faults.exhaustive

Workers and tables are those of the simulation. What makes the space finite: times are only before or after now, fences and attempts keep
their order but not their value, and counters that no rule reads stand still. Left to the simulation are deadlines, news, full disks, and purges later than at once.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from contract import lifecycle
from contract.errors import LostLeaseError, StateConflictError, StoreUnavailableError
from contract.job import TERMINAL, Job, JobState
from tests.faults import swift
from tests.faults.hands import PUBLISHING, RENEW_SECONDS, Attempt, Phase, Plan, Worker, prefix_of
from tests.faults.invariants import Judge, Lease, Violation
from tests.faults.model import FRESH, Checkpoint, Tables

NOW, PAST, FUTURE, NEVER = 100.0, 50.0, 200.0, 1e9
JOB_ID = "j"
HEALTHY = Plan(steps=1, every=1)
POISON = Plan(steps=1, every=1, dies_at=0)
_GONE, _OLD, _FIRST = "gone", -1, f"{JOB_ID}-1"
_FATES = ("answered", "unanswered", "late")
"""Of a request. One that is lost on the way is one that is late for ever."""
_TEMPLATE = Job(
    id=JOB_ID,
    tenant="t",
    name=None,
    metadata={},
    spec={"limits": {"max_runtime_seconds": NEVER, "max_queue_seconds": NEVER}, "checkpoints": {"keep_last": 1}},
    spec_sha256="",
    queue_deadline_at=NEVER,
)

State = tuple[Any, ...]
Event = Callable[["World"], object]


@dataclass(frozen=True, slots=True)
class Space:
    """What was searched."""

    states: int
    transitions: int
    ends: frozenset[str]
    """How the job can end: a terminal state, or the code of a failure."""
    moves: frozenset[tuple[JobState, JobState]]

    def __str__(self) -> str:
        return f"{self.states} states, {self.transitions} transitions, 0 violations; ends: {', '.join(sorted(self.ends))}"


class World:
    """One state taken apart into the objects that act on it."""

    def __init__(self, plan: Plan, state: State | None = None) -> None:
        self.judge = Judge()
        self.tables = Tables(self.judge)
        self.late: list[tuple[Any, ...]] = []
        self.fate = "answered"
        self.sent = self.is_reading = False
        self._plan = plan
        self.workers = [Worker(f"w{index}", self.tables, self._send, {JOB_ID: plan}) for index in range(2)]
        if state is None:
            self.tables.create(_TEMPLATE)
        else:
            self._thaw(state)

    @property
    def job(self) -> Job:
        return self.tables.jobs[JOB_ID]

    @job.setter
    def job(self, job: Job) -> None:
        self.tables.jobs[JOB_ID] = job

    def arrive(self) -> None:
        """The late request is done, and nobody hears of it."""
        deed, *arguments = self.late.pop()
        _unheard(partial(getattr(self.tables, deed), *arguments, NOW))

    def _send(self, deed: str, *arguments: Any) -> Any:
        self.sent, self.is_reading = True, deed == "kept"
        do = partial(getattr(self.tables, deed), *arguments, NOW)
        if self.fate == "answered":
            return do()
        if self.fate == "unanswered":
            _unheard(do)
        elif self.fate == "late":
            self.late.append((deed, *arguments))
        raise StoreUnavailableError(self.fate)

    # From a state and back.

    def freeze(self) -> State:
        """What tells this state from others, and no more: who is which, and which number came first, but not its value."""
        tables, job = self.tables, self.job
        order = sorted(self.workers, key=lambda worker: (worker.name != job.owner, *_age(worker)))
        names = {worker.name: f"w{index}" for index, worker in enumerate(order)}
        leases = [worker.attempt.lease for worker in order if worker.attempt] + [
            each[1] for each in self.late if isinstance(each[1], Lease)
        ]
        holder = self.judge.holder[JOB_ID]
        known = [*leases, holder] if holder else leases
        self._fences = _ranks({job.fence, *(lease.fence for lease in known), *(fence for fence, _ in tables.results.values())})
        self._attempts = _ranks({lease.attempt for lease in known})
        last = [row for row in tables.checkpoints[JOB_ID] if row.kept][-1:]
        named = {_prefix(each) for each in order} | {each[2] for each in self.late if each[0] == "checkpoint"}
        needed = named | {row.prefix for row in last}
        return (
            (names.get(job.owner, _GONE) if job.owner else None, self._fences[job.fence], *_facts(job)),
            holder and self._number(holder),
            tuple((self._fences[fence], weights) for fence, weights in tables.results.values()),
            tuple(self._place(row.prefix) for row in last),
            tuple(sorted(self._place(prefix) for prefix in tables.recorded & named)),
            tuple(sorted((self._place(prefix), weights) for prefix, weights in tables.bytes.items() if prefix in needed)),
            tuple(self._renamed(each, names) for each in self.late),
            tuple(self._numbered(_view(worker)) for worker in order),
        )

    def _number(self, lease: Lease) -> Lease:
        return Lease(JOB_ID, self._fences[lease.fence], self._attempts[lease.attempt])

    def _place(self, prefix: str) -> str:
        """Where nobody can write any more, one fence is like another."""
        job_id, fence, step = prefix.split("/")
        return f"{job_id}/{self._fences.get(int(fence), _OLD)}/{step}"

    def _renamed(self, late: tuple[Any, ...], names: dict[str, str]) -> tuple[Any, ...]:
        """A late request in the terms of the frozen state."""
        deed, first, *rest = late
        if not isinstance(first, Lease):
            return deed, names.get(first, _GONE), *rest
        return deed, self._number(first), *(self._place(each) if deed == "checkpoint" else each for each in rest)

    def _numbered(self, view: State) -> State:
        unsure, attempt = view
        return unsure, attempt and (self._number(attempt[0]), *attempt[1:])

    def _thaw(self, state: State) -> None:
        row, holder, results, last, recorded, stored, late, workers = state
        tables = self.tables
        job = self.job = _job(row, len(last))
        tables.checkpoints[JOB_ID] = [Checkpoint(_FIRST, _OLD, prefix) for prefix in last]
        tables.recorded, tables.bytes, self.late = set(recorded), dict(stored), list(late)
        tables.results = {JOB_ID: results[0]} if results else {}
        self.judge.replayed[JOB_ID], self.judge.holder[JOB_ID] = job.state, holder
        known = [holder] if holder else []
        for worker, (unsure, attempt) in zip(self.workers, workers, strict=True):
            worker.is_unsure = unsure
            if attempt:
                lease, phase, weights, saved, stopping, end = attempt
                known.append(lease)
                # Its news are left out: it has always told them.
                worker.attempt = Attempt(
                    lease, self._plan, job, NOW, phase, weights, saved, stopping, naming_since=NOW, told_step=weights[0], end=end
                )
        known += [each[1] for each in late if isinstance(each[1], Lease)]
        if holder:
            tables.leases[JOB_ID] = holder
        tables.attempts = max((lease.attempt for lease in known), default=0)
        self.judge.claimed[JOB_ID] = {lease.fence for lease in known}


def search(plan: Plan = HEALTHY, *, clients: bool = True, late: int = 1) -> Space:
    """Visit every state. Raises Violation, with the way that leads there, where one breaks a promise or no end can be reached from it."""
    with swift.copies():
        return _Search(plan, clients, late).run()


class _Search:
    def __init__(self, plan: Plan, clients: bool, late: int) -> None:
        self._plan, self._clients, self._late = plan, clients, late
        self._seen: dict[State, int] = {}
        self._came: list[tuple[int, str]] = []
        """For each state, the one it was first reached from, and by what."""
        self._before: list[list[int]] = []
        """For each state, all that lead to it."""
        self._moves: set[tuple[JobState, JobState]] = set()
        self._transitions = 0

    def run(self) -> Space:
        frontier: deque[State] = deque()
        self._reach(self._world().freeze(), 0, "submitted", frontier)
        ends: dict[int, str] = {}
        while frontier:
            state = frontier.popleft()
            here = self._seen[state]
            job = self._world(state).job
            if job.is_terminal:
                ends[here] = job.error["code"] if job.error else job.state.value
            for what, then in self._followed(state, here):
                self._reach(then, here, what, frontier)
        self._check_ends(set(ends))
        return Space(len(self._seen), self._transitions, frozenset(ends.values()), frozenset(self._moves))

    def _world(self, state: State | None = None) -> World:
        return World(self._plan, state)

    def _reach(self, state: State, source: int, what: str, frontier: deque[State]) -> None:
        index = self._seen.setdefault(state, len(self._seen))
        if index == len(self._came):
            self._came.append((source, what))
            self._before.append([])
            frontier.append(state)
        if index != source:
            self._transitions += 1
            self._before[index].append(source)

    def _followed(self, state: State, here: int) -> Iterator[tuple[str, State]]:
        """Every state that one event leads to, and the event."""
        for what, event in self._events(state):
            for fate in _FATES:
                world = self._world(state)
                if fate == "late" and len(world.late) >= self._late:
                    continue
                world.fate = fate
                try:
                    event(world)
                    world.tables.purge(NOW)  # as soon as it may: later is kinder
                    self._check_result(world)
                except Violation as violation:
                    raise Violation(f"{violation}; the way there: {self._way(here)}, {what} ({fate})") from violation
                self._moves.update(world.judge.moves)
                yield f"{what} ({fate})", world.freeze()
                if not world.sent or world.is_reading:
                    break

    def _events(self, state: State) -> Iterator[tuple[str, Event]]:
        world = self._world(state)
        for index, worker in enumerate(world.workers):
            for what, event in _worker_events(worker):
                yield f"worker {index} {what}", partial(_by_worker, index, event)
        if world.late:
            yield "the late request arrives", World.arrive
        job = world.job
        if job.is_terminal:
            return
        if lifecycle.is_expired(job, NOW):
            yield "reconciler expires", lambda world: world.tables.expire(NOW)
        if job.is_held or world.late:
            yield "everything is killed, and started", _kill_everything
        yield from _clock_events(job)
        if self._clients:
            yield from _CLIENT

    def _check_result(self, world: World) -> None:
        for _, weights in world.tables.results.values():
            if weights != self._plan.digest():
                raise Violation("the weights are those of an uninterrupted run")

    def _check_ends(self, ends: set[int]) -> None:
        """From every state an end can be reached: back from the ends, and nothing may be left."""
        reached, frontier = set(ends), deque(ends)
        while frontier:
            for source in self._before[frontier.popleft()]:
                if source not in reached:
                    reached.add(source)
                    frontier.append(source)
        if lost := set(range(len(self._came))) - reached:
            raise Violation(f"every accepted job ends, and none can from {len(lost)} states; the way to one: {self._way(min(lost))}")

    def _way(self, index: int) -> str:
        steps: list[str] = []
        while index:
            index, what = self._came[index]
            steps.append(what)
        return ", ".join(reversed(steps))


def _by_worker(index: int, event: Callable[[Worker], object], world: World) -> None:
    worker = world.workers[index]
    event(worker)
    # Bytes that no row names are seen by nobody: whether they are there yet tells no two states apart.
    while worker.attempt and worker.attempt.phase is Phase.STORING:
        worker.act(NOW)


def _worker_events(worker: Worker) -> Iterator[tuple[str, Callable[[Worker], object]]]:
    yield "acts", lambda each: each.act(NOW)
    if (attempt := worker.attempt) is None:
        return
    yield "is killed", _kill
    match attempt.phase:
        case Phase.TRAINING:
            yield "renews", _renew
            yield "loses its trainer", _lose_trainer
            yield "hears nothing for a lease", _drop
            if not attempt.stopping:
                yield "drains", _drain
        case Phase.NAMING:
            yield "names in vain for a lease", _name_in_vain
        case _:
            return


def _kill(worker: Worker) -> None:
    worker.name, worker.attempt, worker.is_unsure = "another", None, False


def _renew(worker: Worker) -> None:
    assert worker.attempt
    worker.attempt.renewed_at = NOW - RENEW_SECONDS
    worker.act(NOW)


def _lose_trainer(worker: Worker) -> None:
    worker.trainer_dies = True
    worker.act(NOW)


def _drop(worker: Worker) -> None:
    worker.attempt = None


def _drain(worker: Worker) -> None:
    assert worker.attempt
    worker.attempt.stopping = True


def _name_in_vain(worker: Worker) -> None:
    assert worker.attempt
    worker.attempt.naming_since = PAST
    worker.act(NOW)


def _kill_everything(world: World) -> None:
    """The stack that starts knows that no worker lives, nor a transaction of one."""
    for worker in world.workers:
        _kill(worker)
    world.late.clear()
    world.tables.release_all(NOW)


_CLIENT: tuple[tuple[str, Event], ...] = (
    ("client cancels", lambda world: _unheard(partial(world.tables.cancel, JOB_ID, NOW))),
    ("client pauses", lambda world: _unheard(partial(world.tables.pause, JOB_ID, NOW))),
    ("client resumes", lambda world: _unheard(partial(world.tables.resume, JOB_ID, NOW))),
)
_TIMES = ("lease_until", "available_at", "cancel_deadline")


def _clock_events(job: Job) -> Iterator[tuple[str, Event]]:
    """Time passes one limit after another, in whatever order."""
    for name in _TIMES:
        if (_time(name, job) or PAST) > NOW and not job.is_terminal:
            yield f"time passes {name}", partial(_pass, name)


def _pass(name: str, world: World) -> None:
    world.job = swift.replace(world.job, **{name: PAST})


def _unheard(do: Callable[[], object]) -> None:
    try:
        do()
    except (LostLeaseError, StateConflictError, StoreUnavailableError):
        return


# What of an object tells its state.


def _age(worker: Worker) -> tuple[int, bool]:
    """By which two workers are told apart, so that no state counts twice with their names exchanged."""
    return -worker.attempt.lease.attempt if worker.attempt else 1, worker.is_unsure


def _view(worker: Worker) -> State:
    attempt = worker.attempt
    if attempt is None:
        return worker.is_unsure, None
    if attempt.phase is Phase.CONCLUDING and attempt.end and attempt.end[0] != "succeed":
        return worker.is_unsure, (attempt.lease, attempt.phase, FRESH, -1, False, attempt.end)
    return worker.is_unsure, (attempt.lease, attempt.phase, attempt.weights, attempt.saved, attempt.stopping, attempt.end)


def _facts(job: Job) -> State:
    """What a rule reads of the row in the state it is in. Past the limit, one crash more changes nothing."""
    if job.is_terminal:
        return job.state, job.error and job.error["code"], 0, None, None, None
    crashes = min(job.crash_count_since_progress, lifecycle.CRASHES_WITHOUT_PROGRESS + 1)
    return job.state, None, crashes, *(_time(name, job) for name in _TIMES)


def _job(row: State, checkpoints: int) -> Job:
    owner, fence, state, code, crashes, lease_until, available_at, cancel_deadline = row
    job: Job = swift.replace(
        _TEMPLATE,
        owner=owner,
        fence=fence,
        lease_until=lease_until,
        available_at=available_at or PAST,
        cancel_deadline=cancel_deadline,
        state=state,
        crash_count_since_progress=crashes,
        cancel_requested_at=cancel_deadline and PAST,
        checkpoint_seq=checkpoints,
        checkpoint_id=_FIRST if checkpoints else None,
        error={"code": code} if code else None,
        finished_at=NOW if state in TERMINAL else None,
        paused_at=NOW if state is JobState.PAUSED else None,
    )
    return job


def _time(name: str, job: Job) -> float | None:
    """Before or after now; none where no rule looks."""
    value: float | None = getattr(job, name)
    if value is None or (name == "available_at" and job.state is not JobState.QUEUED):
        return None
    return FUTURE if value > NOW else PAST


def _ranks(numbers: set[int]) -> dict[int, int]:
    return {number: rank for rank, number in enumerate(sorted(numbers))}


def _prefix(worker: Worker) -> str | None:
    """Where the bytes are that the worker is about to name."""
    attempt = worker.attempt
    return prefix_of(attempt) if attempt and attempt.phase in PUBLISHING else None


def main() -> None:
    for title, found in (("healthy", partial(search, HEALTHY)), ("poison, no client", partial(search, POISON, clients=False))):
        print(f"{title}: {found()}", flush=True)


if __name__ == "__main__":
    main()
