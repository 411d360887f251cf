"""What one machine carries: `python -m benchmarks.scale [all|fleet|plans|bytes|broker|api] --database postgresql|sqlite`; see docs/scale.md."""

import argparse
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, get_args

from benchmarks.scale import api, broker, fleet, history, invariants, looks, plans, report, servers, sizes
from benchmarks.scale.fake import Course
from benchmarks.scale.fleet import Heard, Plan
from benchmarks.scale.history import Size
from benchmarks.scale.servers import Server
from contract.spec import JobSpec
from contract.store import Store, sweep

_HALVINGS: Final = 8
_TRIAL_SECONDS: Final = 15.0


def main() -> None:
    """Run what was asked for, and leave nothing behind."""
    asked = _parser().parse_args()
    signal.signal(signal.SIGALRM, _over)
    signal.alarm(int(asked.limit))
    print(f"{report.machine()}\n")
    for what in _TABLES if asked.what == "all" else (asked.what,):
        began = time.monotonic()
        _TABLES[what](asked)
        print(f"\n({what}: {time.monotonic() - began:.0f} s)\n", flush=True)


def _over(*_: Any) -> None:
    raise SystemExit("the time was over; allow more by --limit")


def _on_database(measure: Callable[[Server, Store, argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    def measured(asked: argparse.Namespace) -> None:
        with servers.opened(asked.database) as server, _store(server) as store:
            measure(server, store, asked)

    return measured


def _broker(asked: argparse.Namespace) -> None:
    print(report.table(("the broker", "measured"), broker.rows(broker.measured(asked.rings, asked.unheard))))
    print("\n" + report.table(("a job that waits", "messages"), [(waited, f"{broker.rings(of)}") for waited, of in broker.WAITS.items()]))


def _api(asked: argparse.Namespace) -> None:
    kinds, streams = api.measured(asked.requests, asked.streams, asked.stream_seconds)
    print(report.table(("request", "CPU ms of the API", "a second and core", "p99 ms, 16 connections"), api.kind_rows(kinds)))
    print("\n" + report.table(("streams", "measured"), api.stream_rows(streams)))


def _fleet(server: Server, store: Store, asked: argparse.Namespace) -> None:
    course = Course(epochs=asked.epochs, reports=asked.reports, renew_seconds=asked.renew_seconds, lease_seconds=asked.lease_seconds)
    heard = _trial(server, store, asked, course, asked.workers, asked.seconds)
    print(f"left: {invariants.by_state(store)}; broken: {invariants.broken(store) or 'nothing'}\n")
    if not asked.search:
        return
    limit = asked.share * course.lease_seconds
    workers, carried = asked.workers, 0
    for _ in range(_HALVINGS):
        if report.quantile(heard.late, 0.99) <= limit or workers < 2:
            carried = workers
            break
        # The first guess is what the run itself carried; below it by halves.
        workers = workers // 2
        heard = _trial(server, store, asked, course, workers, min(asked.seconds, _TRIAL_SECONDS))
    print(
        f"Carried: {carried:,} of {asked.workers:,} workers, driver and database on this one machine (p99 of a renewal at most {limit:g} s late)"
    )


def _trial(server: Server, store: Store, asked: argparse.Namespace, course: Course, workers: int, seconds: float) -> Heard:
    ramp = max(4.0, workers / 100)
    wanted = int(workers * ((seconds + ramp) / course.seconds + 1))
    sizes.submit(store, course, max(0, wanted - invariants.by_state(store).get("queued", 0)))
    before = server.cpu_seconds()
    heard = fleet.run(Plan(server.url, workers, course, asked.connections, seconds, ramp))
    print(report.fleet(asked.database, workers, course, heard, server.cpu_seconds() - before) + "\n", flush=True)
    # Nobody goes on with what is under way: the next trial begins with free hands.
    while sweep.release_all(store, "the run is over"):
        pass
    return heard


def _plans(_: Server, store: Store, asked: argparse.Namespace) -> None:
    size = Size(asked.ended, asked.queued, asked.held)
    history.fill(store, size, JobSpec.model_validate({}))
    unit = "steps" if store.is_sqlite else "rows"
    rows = []
    for name, deed in looks.DEEDS.items():
        worst = max(plans.of(store, deed), key=lambda work: work.touched)
        rows.append((name, f"{worst.touched:,}", f"{worst.milliseconds:.1f}", "; ".join(dict.fromkeys(worst.plan))[:120]))
    print(report.table((f"of {size.ended:,} ended, {size.queued:,} queued, {size.held:,} held", unit, "ms", "plan"), rows))


def _bytes(server: Server, store: Store, asked: argparse.Namespace) -> None:
    course = Course(epochs=asked.epochs, reports=asked.reports)
    found = sizes.measured(store, server.url, course, asked.jobs)
    rows = [(each.table, f"{each.rows:.1f}", f"{each.bytes:,.0f}", f"{each.rows * each.bytes:,.0f}") for each in found]
    rows.append(("together", "", "", f"{sum(each.rows * each.bytes for each in found):,.0f}"))
    print(
        report.table(
            (f"{course.epochs} epochs, {course.renewals - course.epochs - 1} reports", "rows a job", "bytes a row", "bytes a job"), rows
        )
    )


_TABLES: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "broker": _broker,
    "api": _api,
    "bytes": _on_database(_bytes),
    "plans": _on_database(_plans),
    "fleet": _on_database(_fleet),
}
"""Each by its name on the command line, in the order of `all`: the quickest first."""


@contextmanager
def _store(server: Server) -> Iterator[Store]:
    store = Store(server.url)
    try:
        yield store
    finally:
        store.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("what", nargs="?", default="fleet", choices=["all", *_TABLES])
    parser.add_argument("--database", default="postgresql", choices=get_args(servers.Kind))
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, after the workers have started")
    parser.add_argument("--connections", type=int, default=16, help="to the database, of all workers together")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--reports", type=int, default=5, help="of steps within an epoch")
    parser.add_argument("--renew-seconds", type=float, default=0.5)
    parser.add_argument("--lease-seconds", type=float, default=60.0)
    parser.add_argument("--search", action="store_true", help="halve the workers until renewals are in time")
    parser.add_argument("--share", type=float, default=0.01, help="of the lease that a renewal may be late, in 99 of 100")
    parser.add_argument("--jobs", type=int, default=60, help="whose bytes are counted")
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--held", type=int, default=1_000)
    parser.add_argument("--rings", type=int, default=5_000, help="given, and heard")
    parser.add_argument("--unheard", type=int, default=100_000, help="messages that wait")
    parser.add_argument("--requests", type=int, default=2_000, help="of each kind")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--stream-seconds", type=float, default=5.0, help="at rest, and as many with 50 events in each")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds after which all is broken off")
    return parser


if __name__ == "__main__":
    main()
