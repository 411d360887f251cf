"""What a worker does: keep a trainer warm, claim one job after another, and be seen doing it."""

import os
import queue
import socket
import threading
from importlib.metadata import PackageNotFoundError, version
from time import monotonic

import structlog

from contract import objects
from contract.artifacts import Artifacts
from contract.errors import RidgelineError, StoreUnavailableError
from contract.events import TrainerReady
from contract.ids import worker as new_id
from contract.job import Job
from contract.settings import Settings
from contract.store import Store, leases, workers
from worker.attempt import Attempt
from worker.process import TRAINER, Died, Trainer

log = structlog.get_logger(__name__)

PULSE_SECONDS = 2.0
TRAINER_START_SECONDS = 180.0


class Supervisor:
    """One job at a time on one trainer. `answer` is called for a ring; a thread of its own calls it when no ring comes."""

    def __init__(self, settings: Settings, trainer_command: tuple[str, ...] = TRAINER) -> None:
        """Starts a trainer, which warms up while the caller goes on."""
        self.id = new_id()
        self.settings = settings
        self.store = Store(settings.database_url)
        self.artifacts: Artifacts = objects.opened(settings)
        self._trainer_command = trainer_command
        self._trainer = Trainer(settings, trainer_command)
        self._device = ""
        self._torch = ""
        self._machine_class: str | None = None
        self._is_unsure = False
        """Whether a claim of ours may have succeeded without our hearing of it."""
        self._job_id: str | None = None
        self._at_work = threading.Lock()
        self._draining = threading.Event()
        self._gone = threading.Event()
        self._threads = [threading.Thread(target=each, name=each.__name__, daemon=True) for each in (self._poll, self._pulse)]

    @property
    def trainer_pid(self) -> int:
        """Of the present trainer; another one after a crash."""
        return self._trainer.pid

    def start(self) -> None:
        """Begin to poll and to be seen. The trainer has been warming up since the supervisor was made."""
        for thread in self._threads:
            thread.start()

    def answer(self, job_id: str) -> None:
        """A bell rang: do this job and then whatever else waits. Returns when the queue holds nothing for us."""
        with self._at_work:
            self._work(job_id)

    def drain(self) -> None:
        """Begin to shut down: take no new job, bring the present one to a checkpoint and release it. Returns at once."""
        self._draining.set()

    def close(self) -> None:
        """Drain, wait until the present job is released, end the trainer, and sign off."""
        self._draining.set()
        with self._at_work:
            self._gone.set()
            self._trainer.kill()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5)
        try:
            if self._is_unsure:
                leases.give_back(self.store, self.id)
            workers.left(self.store, self.id)
        except StoreUnavailableError as error:
            log.warning("could not sign off", cause=str(error))
        self.store.close()

    def _work(self, job_id: str | None = None) -> None:
        while not self._draining.is_set() and self._be_ready():
            job = self._claim(job_id) or (self._claim(None) if job_id else None)
            job_id = None
            if job is None:
                return
            self._job_id = job.id
            log.info("attempt begins", job=job.id, attempt=job.attempt, fence=job.fence)
            try:
                Attempt(job, self._trainer, self.store, self.artifacts, self.settings, self._draining).run()
            except BaseException:
                # Nobody knows any more what this trainer is at; what it still says must not be taken for the next job's.
                self._trainer.kill()
                raise
            finally:
                self._job_id = None

    def _claim(self, job_id: str | None) -> Job | None:
        device = "cuda" if self._device.startswith("cuda") else "cpu"
        try:
            if self._is_unsure:
                leases.give_back(self.store, self.id)
            self._is_unsure = False
            return leases.claim(self.store, self.id, device, self.settings.lease_seconds, job_id, self._machine_class)
        except StoreUnavailableError:
            self._is_unsure = True
            raise

    def _be_ready(self) -> bool:
        """See that a warm trainer is there, starting a new one in place of one that died. False when none comes up."""
        if self._device and self._trainer.is_alive:
            return True
        if not self._trainer.is_alive:
            self._trainer, self._device = Trainer(self.settings, self._trainer_command), ""
        began = monotonic()
        while monotonic() - began < TRAINER_START_SECONDS and not self._draining.is_set():
            try:
                said = self._trainer.heard.get(timeout=0.5)
            except queue.Empty:
                continue
            match said:
                case TrainerReady() as ready:
                    self._device, self._torch, self._machine_class = ready.device, ready.torch, ready.machine_class()
                    log.info("trainer ready", pid=self._trainer.pid, device=ready.device)
                    return True
                case Died() as died:
                    log.error("the trainer does not start", cause=died.cause, tail=died.tail)
                    return False
                case _:
                    continue
        return False

    def _poll(self) -> None:
        wait = 0.0
        # To the very end, also while draining: a trainer that this thread has started dies with the thread (see worker.process).
        while not self._gone.wait(wait):
            wait = self.settings.poll_seconds
            if not self._draining.is_set() and self._at_work.acquire(blocking=False):
                try:
                    self._work()
                except RidgelineError as error:
                    log.warning("the queue cannot be read", cause=str(error))
                except Exception:
                    log.exception("the attempt broke")
                finally:
                    self._at_work.release()

    def _pulse(self) -> None:
        while not self._gone.is_set():
            try:
                self._be_seen()
            except StoreUnavailableError as error:
                log.warning("no pulse", cause=str(error))
            except Exception:
                log.exception("no pulse, for a reason that was not foreseen")
            self._gone.wait(PULSE_SECONDS)

    def _be_seen(self) -> None:
        state: workers.State = "draining" if self._draining.is_set() else "busy" if self._job_id else "idle" if self._device else "starting"
        workers.seen(
            self.store,
            worker_id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            state=state,
            device=self._device,
            versions={"ridgeline": _own_version(), "torch": self._torch},
        )


def _own_version() -> str:
    try:
        return version("ridgeline")
    except PackageNotFoundError:
        return "unknown"
