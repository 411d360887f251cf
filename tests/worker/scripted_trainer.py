"""A trainer process that speaks the true protocol and trains nothing: it does what the job's metadata says.

`script` is a list of words: `epoch`, `checkpoint`, `finish`, `diverge`, `segfault`, `exit`, `garbage`, `wait` (until told to
stop), `deaf` (never hears a stop), `hang` (says nothing more), `stray` (says that it stopped, and goes on). A resumed job goes on after the last word that its checkpoint has seen.
"""

import faulthandler
import hashlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from contract import events
from worker import orders
from worker.training import lifeline

lifeline.tie_to_parent()
faulthandler.register(signal.SIGUSR1, all_threads=True)
stop = threading.Event()
incoming: list[orders.Order] = []
arrived = threading.Event()


def say(event: events.Event) -> None:
    sys.stdout.write(events.to_line(event) + "\n")
    sys.stdout.flush()


def listen() -> None:
    for line in sys.stdin:
        order = orders.from_line(line)
        if isinstance(order, orders.Stop):
            stop.set()
        else:
            incoming.append(order)
            arrived.set()
    os._exit(0)


def checkpoint(order: orders.Train, word: int, epoch: int, *, interim: bool = False) -> None:
    folder = Path(order.scratch) / f"step-{word}{'-end' if interim else ''}"
    folder.mkdir()
    body = json.dumps({"word": word, "epoch": epoch}).encode()
    (folder / "state.json").write_bytes(body)
    file = events.File(name="state.json", size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
    metrics = {"val.loss": 1.0 / (epoch + 1)}
    say(events.CheckpointWritten(folder=folder.name, epoch=epoch, step=word, files=(file,), metrics=metrics, interim=interim))


DATA = events.Data(name="fake", source="generated", sha256="0" * 64, train_rows=8, validation_rows=1, test_rows=2)
MACHINE = events.Machine(device="cpu", precision="float32", threads=1, cpu_capability="none", torch="none")


def result(epoch: int, word: int, resumed: tuple[int, ...]) -> events.Result:
    return events.Result(
        stop_reason=events.StopReason.EPOCHS,
        epochs=epoch,
        steps=word,
        metrics={"train.loss": float("nan"), "test.accuracy": 0.5},
        best_epoch=epoch,
        best_metrics={},
        confusion=None,
        classes=None,
        layers=(),
        parameters=1,
        data=DATA,
        machine=MACHINE,
        versions={},
        lineage=events.Lineage(spec_sha256="0" * 64, seed=0, version="none", commit=None, fingerprint=MACHINE.fingerprint()),
        timings={},
        samples_per_second=1.0,
        resumed_at_steps=resumed,
        bitwise=True,
    )


def nap(order: orders.Train, *, forever: bool) -> bool:
    """`nap` takes a tenth of a second, `work` leaves a mark in the file `trace` until told to stop. Whether it was told."""
    if not forever:
        return stop.wait(0.1)
    with Path(order.spec.metadata["trace"]).open("a") as trace:
        while not stop.wait(0.005):
            print("at work", file=trace, flush=True)
    return True


def stuck() -> None:
    threading.Event().wait()


def train(order: orders.Train) -> None:
    script = order.spec.metadata["script"].split()
    word, epoch = 0, 0
    if order.checkpoint:
        state = json.loads((Path(order.checkpoint) / "state.json").read_text())
        word, epoch = state["word"], state["epoch"]
    resumed = (word,) if word else ()
    say(events.Started(data=DATA, machine=MACHINE, parameters=1, steps=len(script), step=word, epoch=epoch))
    for deed in script[word:]:
        word += 1
        match deed:
            case "epoch":
                epoch += 1
                say(events.Progress(epoch=epoch, step=word, metrics={"train.loss": 1.0}))
                say(events.EpochDone(epoch=epoch, step=word, metrics={"train.loss": 1.0, "val.loss": 0.5}, seconds=0.1))
            case "checkpoint":
                checkpoint(order, word, epoch)
            case "nap" | "work":
                if nap(order, forever=deed == "work"):
                    checkpoint(order, word - 1, epoch, interim=True)
                    say(events.Stopped(step=word))
                    return
            case "diverge":
                say(events.Failed(code=events.FailureCode.DIVERGED, message="loss became nan at step 3", hint="try lr below 0.5", step=3))
                return
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                sys.stderr.write("Killed by a grudge\n")
                sys.stderr.flush()
                os._exit(1)
            case "garbage":
                sys.stdout.write("Segmentation fold\n")
                sys.stdout.flush()
            case "wait":
                stop.wait()
                checkpoint(order, word - 1, epoch, interim=True)
                say(events.Stopped(step=word))
                return
            case "hang":
                stuck()
            case "stray":
                say(events.Stopped(step=word))
            case "deaf":
                threading.Event().wait()
    say(events.Finished(result=result(epoch, word, resumed)))


threading.Thread(target=listen, daemon=True).start()
say(events.TrainerReady(device="cpu", torch="none", cpu_capability="none"))
while True:
    arrived.wait()
    arrived.clear()
    stop.clear()
    order = incoming.pop()
    assert isinstance(order, orders.Train)
    train(order)
