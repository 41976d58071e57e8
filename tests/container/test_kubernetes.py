"""The manifests and the chart: valid, true to our exit codes, fit for a restricted namespace."""

import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from manifests import (
    CHART,
    GIVEN,
    GUIDE,
    JOBS,
    KUBERNETES,
    MANIFESTS,
    Helm,
    blocks,
    commands,
    containers_of,
    pod_of,
    render,
)

from predeploy.contract.exit_codes import ExitCode
from predeploy.settings import Settings, parse_duration, parse_settings

HELMS_TIMEOUT_S = 300
FIRST_PAUSE_S = 10  # of a Job's tries; it doubles

every_manifest = pytest.mark.parametrize("manifest", MANIFESTS, indirect=True)
every_job = pytest.mark.parametrize("manifest", JOBS, indirect=True)


def settings_of(manifest: dict) -> Settings:
    """The settings of our container; what comes from a Secret is some URL."""
    ours = next(c for c in containers_of(pod_of(manifest)) if c["name"] in ("predeploy", "verify"))
    given = {one["name"]: one.get("value") for one in ours["env"]}
    url = {"DATABASE_URL": "postgresql://shop@db/shop"}
    environ = {name: value for name, value in given.items() if not name.endswith("_FILE")}
    assert url.keys() & {name.removesuffix("_FILE") for name in given}
    return parse_settings({**environ, **url}, default_sql_dir=Path("/sql"))


@pytest.fixture
def validate() -> Callable[[dict], str]:
    validator = pytest.importorskip("kubernetes_validate", reason="no schemas: make tools")
    return lambda manifest: validator.validate(manifest, validator.latest_version(), strict=True)


@every_manifest
def test_a_manifest_is_valid(manifest: dict, validate: Callable[[dict], str]) -> None:
    validate(manifest)


@every_manifest
def test_an_unknown_field_is_not_valid(manifest: dict, validate: Callable[[dict], str]) -> None:
    """Or else the test above would prove nothing about a misspelt field."""
    misspelt = copy.deepcopy(manifest)
    containers_of(pod_of(misspelt))[0]["securityContext"]["readonlyRootFilesystem"] = True

    with pytest.raises(Exception, match="'readonlyRootFilesystem' was unexpected"):
        validate(misspelt)


@every_job
def test_a_job_fails_at_once_on_the_permanent_exit_codes(manifest: dict) -> None:
    """And on no other: all of them, in order, each once."""
    spec = manifest["spec"]
    ignored, failed = spec["podFailurePolicy"]["rules"]

    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"] == {
        "containerName": pod_of(manifest)["containers"][0]["name"],
        "operator": "In",
        "values": sorted(int(code) for code in ExitCode if code and not code.is_retryable),
    }
    assert spec["backoffLimit"] > 0
    assert pod_of(manifest)["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    "file", [KUBERNETES / "job.yaml", CHART / "values.yaml", GUIDE], ids=lambda f: f.name
)
def test_what_is_tried_again_is_told(file: Path) -> None:
    """The other exit codes, in words: nothing in a manifest holds them."""
    retryable = ", ".join(str(int(code)) for code in ExitCode if code.is_retryable)

    assert f"({retryable})" in file.read_text()


@every_manifest
def test_a_pod_is_allowed_in_a_restricted_namespace(manifest: dict) -> None:
    """Every field that the Pod Security Standard asks for, a read-only root, and no token."""
    pod = pod_of(manifest)

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert all("secret" in volume for volume in pod.get("volumes", ()))
    for container in containers_of(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert "ports" not in container


@every_manifest
def test_no_url_stands_in_a_manifest(manifest: dict) -> None:
    assert "postgres" not in yaml.safe_dump(manifest)


@every_job
def test_a_run_ends_before_its_job_does(manifest: dict) -> None:
    """By its own deadline it ends with a report; at the Job's, the pods are deleted."""
    grace = pod_of(manifest)["terminationGracePeriodSeconds"]

    assert manifest["spec"]["activeDeadlineSeconds"] > settings_of(manifest).deadline_s + grace


def test_there_is_time_for_every_try_of_the_job() -> None:
    manifest = yaml.safe_load((KUBERNETES / "job.yaml").read_text())
    retries = manifest["spec"]["backoffLimit"]
    pauses = sum(FIRST_PAUSE_S * 2**n for n in range(retries))

    needed = (retries + 1) * settings_of(manifest).deadline_s + pauses

    assert manifest["spec"]["activeDeadlineSeconds"] > needed


def test_an_app_waits_for_less_than_its_deployments_deadline() -> None:
    manifest = yaml.safe_load((KUBERNETES / "init-container.yaml").read_text())
    command, _, wait = pod_of(manifest)["initContainers"][0]["args"]

    assert command == "verify"
    assert parse_duration(wait) < manifest["spec"].get("progressDeadlineSeconds", 600)
    assert settings_of(manifest)


def test_the_chart_runs_before_a_release_is_installed_or_upgraded(helm: Helm) -> None:
    """It ends before helm gives up on it, and after Secrets that are hooks themselves."""
    job = render(helm)

    notes = job["metadata"]["annotations"]
    assert notes["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation"
    assert int(notes["helm.sh/hook-weight"]) > 0
    assert job["spec"]["activeDeadlineSeconds"] < HELMS_TIMEOUT_S


def test_the_charts_values_reach_the_job(helm: Helm, tmp_path: Path) -> None:
    values = {
        "env": [{"name": "PREDEPLOY_LOCK_BUDGET", "value": "10m"}],
        "imagePullSecrets": [{"name": "registry"}],
        "podLabels": {"sidecar.istio.io/inject": "false"},
        "deadline": 1500,
        "backoffLimit": 1,
        "runAsUser": 1000770000,
        "secret": {"key": "url"},
        "resources": {"limits": {"memory": "1Gi"}},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))

    job = render(helm, "--values", tmp_path / "values.yaml")

    pod = pod_of(job)
    (container,) = pod["containers"]
    assert container["image"] == "ghcr.io/acme/shop:1"
    source = {"secretKeyRef": {"name": "shop-database", "key": "url"}}
    assert container["env"][0] == {"name": "DATABASE_URL", "valueFrom": source}
    settings = settings_of(job)
    assert (settings.deadline_s, settings.lock_budget_s) == (1500, 600)
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["backoffLimit"]) == (1545, 1)
    assert container["resources"] == values["resources"] | {
        "limits": {"memory": "1Gi"},
        "requests": {"cpu": "50m", "memory": "64Mi"},
    }
    assert pod["imagePullSecrets"] == values["imagePullSecrets"]
    assert str(pod["securityContext"]["runAsUser"]) == "1000770000"  # helm likes 1.00077e+09
    assert values["podLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_openshift_chooses_user_and_group(helm: Helm) -> None:
    context = pod_of(render(helm, "--set", "runAsUser=null"))["securityContext"]

    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("missing", ["image", "secret.name"])
def test_the_chart_asks_for_what_it_cannot_guess(helm: Helm, missing: str) -> None:
    done = helm("template", "shop", CHART, *GIVEN, "--set", f"{missing}=", check=False)

    assert done.returncode != 0
    assert f"{missing} is required" in done.stderr


def test_a_misspelt_value_is_refused(helm: Helm) -> None:
    done = helm("template", "shop", CHART, *GIVEN, "--set", "deadlines=9", check=False)

    assert done.returncode != 0
    assert "deadlines" in done.stderr


def test_a_chart_may_depend_on_ours(helm: Helm, tmp_path: Path) -> None:
    """With the lines of the docs, its hook is in the release of the app."""
    dependency, values = blocks("yaml")
    about = yaml.safe_load(dependency)
    about["dependencies"][0]["repository"] = f"file://{CHART}"
    app = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", **about}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(app))
    (tmp_path / "values.yaml").write_text(values)
    (tmp_path / "templates").mkdir()

    helm("dependency", "build", tmp_path)
    job = yaml.safe_load(helm("template", "shop", tmp_path).stdout)

    assert job["metadata"]["name"] == "shop-predeploy"
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_helms_commands_in_the_docs_run(helm: Helm) -> None:
    """What is neither helm's nor docker's (see test_pods) does not stand there."""
    tools = {tool: [c for c in commands() if c.startswith(tool)] for tool in ("helm", "docker")}
    assert sum(map(len, tools.values())) == len(list(commands()))
    assert len(tools["helm"]) >= 2

    for command in tools["helm"]:
        helm(*shlex.split(command)[1:])


def test_the_values_have_a_schema_of_the_same_names() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert schema["properties"].keys() - values.keys() == {"global", "enabled"}
    assert values.keys() <= schema["properties"].keys()
