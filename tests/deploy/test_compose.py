"""The compose files are sound as far as can be known without a Docker engine: schema, names, order of start, no secrets."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from contract.settings import Settings
from tests.deploy.image import ROOT, TARGETS, stages
from tests.deploy.test_dockerfile import is_a_program

FILES = ("docker-compose.yml", "docker-compose.gpu.yml")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_fits_the_compose_specification(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / name)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_images_are_the_targets_of_the_dockerfile() -> None:
    assert {service["build"]["target"] for service in OURS.values()} == set(TARGETS)


@pytest.mark.parametrize("name", OURS)
def test_a_command_names_a_program_of_ours(name: str) -> None:
    command = OURS[name].get("command") or stages()[OURS[name]["build"]["target"]].command
    assert command[:2] == ["python", "-m"]
    assert is_a_program(command[2])


@pytest.mark.parametrize("service", [*OURS.values(), *GPU["services"].values()], ids=[*OURS, *(f"gpu-{name}" for name in GPU["services"])])
def test_every_variable_given_to_ridgeline_is_a_setting(service: dict[str, Any]) -> None:
    assert set(service["environment"]) <= {f"RIDGELINE_{field}".upper() for field in Settings.model_fields}


def test_the_example_environment_names_every_variable_that_compose_reads_and_no_other() -> None:
    text = "".join((ROOT / name).read_text() for name in FILES)
    passed_through = {key for service in OURS.values() for key, value in service["environment"].items() if value is None}
    read = set(re.findall(r"\$\{(\w+)", text)) | passed_through
    assert set(re.findall(r"^#?(\w+)=", EXAMPLE, re.MULTILINE)) == read


def test_no_password_stands_in_a_file() -> None:
    assert re.search(r"^RIDGELINE_DB_PASSWORD=$", EXAMPLE, re.MULTILINE)
    password = SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${RIDGELINE_DB_PASSWORD:?")
    assert password in OURS["service"]["environment"]["RIDGELINE_DATABASE_URL"]


def test_no_api_key_stands_in_a_file_and_without_one_compose_does_not_start() -> None:
    assert re.search(r"^RIDGELINE_ADMIN_KEY=$", EXAMPLE, re.MULTILINE)
    assert OURS["service"]["environment"]["RIDGELINE_ADMIN_KEY"].startswith("${RIDGELINE_ADMIN_KEY:?")
    assert "RIDGELINE_ADMIN_KEY" not in OURS["worker"]["environment"], "a worker has no use for it"


def test_the_api_is_published_on_loopback_only_since_keys_are_sent_in_the_clear() -> None:
    assert [port for service in SERVICES.values() for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []


def test_the_published_port_is_the_one_the_image_listens_on() -> None:
    image = stages()["service"]
    assert [port.rpartition(":")[2] for port in OURS["service"]["ports"]] == [image.environment["RIDGELINE_PORT"]] == image.all("EXPOSE")


def test_service_and_worker_share_the_artifacts_and_nothing_else() -> None:
    mounts = {name: {mount for mount in OURS[name]["volumes"] if mount.split(":")[0] in COMPOSE["volumes"]} for name in TARGETS}
    assert mounts["service"] == mounts["worker"] == {f"artifacts:{OURS['worker']['environment']['RIDGELINE_ARTIFACTS_FOLDER']}"}


def test_every_volume_that_is_declared_is_mounted() -> None:
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= mounted


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_conditions_that_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        match wait["condition"]:
            case "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"]
            case "service_completed_successfully":
                assert SERVICES[other]["restart"] == "no", "a service that restarts never completes"
            case unknown:
                pytest.fail(f"{name} waits for {other} by {unknown}, which does not say that it is ready")


def test_nothing_of_ours_that_serves_starts_before_the_schema_is_there() -> None:
    assert all("migrate" in OURS[name]["depends_on"] for name in TARGETS)


def test_the_broker_keeps_what_it_was_told() -> None:
    command = " ".join(SERVICES["valkey"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_a_stopped_worker_has_time_to_hand_its_job_back() -> None:
    grace = int(OURS["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > 2 * Settings.model_fields["trainer_stop_seconds"].default


def test_the_gpu_file_changes_only_services_that_exist_and_asks_for_cuda() -> None:
    assert set(GPU["services"]) <= set(SERVICES)
    assert GPU["services"]["worker"]["environment"]["RIDGELINE_DEVICE"] == "cuda"
