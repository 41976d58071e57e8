"""Railway: the files it reads, and an app that carries the tree, deployed as it deploys."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from conftest import ROOT, SQL, Database
from containers import Engine, Host, Job, report_of
from production import until

from predeploy.settings import OnFailure, parse_settings

pytestmark = [pytest.mark.dear, pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
APP = ROOT / "deploy/railway/app"
TABLES = "select count(*) from pg_tables where schemaname = 'public'"

# Every key that Railway's own schema knows, of which a misspelt one is ignored without a word.
KEYS = {
    "": {"$schema", "build", "deploy", "environments"},
    "build": {
        *("builder", "watchPatterns", "buildCommand", "dockerfilePath", "railpackVersion"),
        *("nixpacksConfigPath", "nixpacksPlan", "nixpacksVersion"),
    },
    "deploy": {
        *("startCommand", "preDeployCommand", "preDeployTimeoutSeconds", "numReplicas"),
        *("healthcheckPath", "healthcheckTimeout", "sleepApplication", "runtime"),
        *("registryCredentials", "restartPolicyType", "restartPolicyMaxRetries", "cronSchedule"),
        *("region", "multiRegionConfig", "limitOverride", "requiredMountPath"),
        *("overlapSeconds", "drainingSeconds", "ipv6EgressEnabled"),
    },
}
WORDS = {
    "builder": {"RAILPACK", "DOCKERFILE", "NIXPACKS", "HEROKU", "PAKETO"},
    "restartPolicyType": {"ON_FAILURE", "ALWAYS", "NEVER"},
}
# What a service of railway.ts may hold, and what its short words mean in railway.json.
SHORT = {
    "preDeploy": "preDeployCommand",
    "start": "startCommand",
    "healthcheck": "healthcheckPath",
    "healthcheckTimeout": "healthcheckTimeout",
}
# Stands in for Railway's library: gives back, as JSON, what it was given.
LIBRARY = """\
export const defineRailway = (program) => program({ isEnvironment: () => true });
export const project = (name, definition) => ({ name, ...definition });
export const service = (name, config) => ({ type: "service", name, ...config });
export const preserve = () => ({ type: "preserve" });
export const postgres = (name) => ({
  type: "postgres", name, env: new Proxy({}, { get: (_, output) => `${name}.${String(output)}` }),
});
"""


def problems_of(config: Mapping) -> list[str]:
    """What Railway would refuse, or pass over in silence."""
    found = []
    for part, known in KEYS.items():
        given = config.get(part, {}) if part else config
        found += [f"{part}.{key} is not known" for key in given if key not in known]
        found += [
            f"{part}.{key} is {given[key]}"
            for key in WORDS
            if given.get(key, "") not in {"", *WORDS[key]}
        ]
    command = config.get("deploy", {}).get("preDeployCommand")
    if not isinstance(command, str):
        found.append("deploy.preDeployCommand is one string: of an array Railway takes one at most")
    return found


@pytest.mark.parametrize("folder", [ROOT, APP])
def test_railway_knows_every_key(folder: Path) -> None:
    assert problems_of(json.loads((folder / "railway.json").read_text())) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"predeployCommand": "predeploy run"},
        {"preDeployCommand": ["predeploy run", "predeploy verify"]},
        {"preDeployCommand": "predeploy run", "restartPolicyType": "never"},
    ],
)
def test_a_misspelt_key_an_array_and_a_wrong_word_would_be_noticed(wrong: dict) -> None:
    assert problems_of({"deploy": wrong})


@pytest.mark.parametrize("folder", [ROOT, APP])
def test_railway_ts_says_what_railway_json_says(
    engine: Engine, tmp_path: Path, folder: Path
) -> None:
    """It is evaluated by Node.js; the gate is in it, and the database's URL."""
    package = tmp_path / "node_modules/railway"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": {"./iac": "./iac.js"}}')
    (package / "iac.js").write_text(LIBRARY)
    # It is written without types: what is left is JavaScript.
    shutil.copy(folder / ".railway/railway.ts", tmp_path / "railway.mjs")
    script = 'import("/it/railway.mjs").then((it) => console.log(JSON.stringify(it.default)))'
    where = ("--volume", f"{tmp_path}:/it:ro")
    told = engine.docker("run", "--rm", *where, "node:22-slim", "node", "-e", script).stdout

    resources = {resource["type"]: resource for resource in json.loads(told)["resources"]}
    service = resources["service"]
    deploy = service.get("deploy", {}) | {
        SHORT[word]: service[word] for word in SHORT if word in service
    }
    config = json.loads((folder / "railway.json").read_text())
    assert service.keys() <= {"type", "name", "build", "deploy", "env", *SHORT}
    assert {"build": service["build"], "deploy": deploy} == {
        part: config[part] for part in ("build", "deploy")
    }
    assert service["env"]["DATABASE_URL"] == f"{resources['postgres']['name']}.DATABASE_URL"


@pytest.fixture(scope="module")
def make_app(
    engine: Engine, slim: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """Builds the app's image in a repository of its own, with TheKeyn's folder and more files."""
    tags = []

    def make(more: Mapping[str, str] = MappingProxyType({})) -> str:
        repository = tmp_path_factory.mktemp("app")
        shutil.copytree(APP, repository, dirs_exist_ok=True)
        shutil.copytree(SQL, repository / "sql")
        for path, text in more.items():
            (repository / path).write_text(text)
        tags.append(f"predeploy-app:{len(tags)}")
        engine.build(tags[-1], "--build-arg", f"PREDEPLOY_IMAGE={slim}", context=repository)
        return tags[-1]

    yield make
    engine.docker("image", "rm", "--force", *tags)


@pytest.fixture(scope="module")
def app(make_app: Callable[..., str]) -> str:
    return make_app()


@pytest.fixture
def deploy(job: Job, start: Callable[[str], str]) -> Callable[[str], tuple[dict, str]]:
    """Deploys as Railway does: the command by a shell in the app's image, then the app, or not.

    Returns the report, and the name of the app's container, empty when it was not started.
    """
    command = json.loads((APP / "railway.json").read_text())["deploy"]["preDeployCommand"]

    def deploy(image: str) -> tuple[dict, str]:
        done = job(image, "-c", command, more=("--entrypoint", "/bin/sh"))
        return report_of(done), "" if done.returncode else start(image)

    return deploy


@pytest.fixture
def start(engine: Engine, db: Host, shop: Database) -> Iterator[Callable[[str], str]]:
    """Starts an app's image with its own command; gives the container's name."""
    names = []

    def start(image: str) -> str:
        names.append(f"app-{shop.name}-{len(names)}")
        where = ("--network", db.network, "-e", f"DATABASE_URL={db.inside(shop)}", "-e", "PORT=80")
        engine.docker("run", "--detach", "--name", names[-1], *where, image)
        return names[-1]

    yield start
    for name in names:
        engine.docker("rm", "--force", name)


def test_the_job_ends_before_railway_ends_it(engine: Engine, app: str) -> None:
    """A run that Railway kills reports nothing, and its statement goes on in the server."""
    limit = json.loads((APP / "railway.json").read_text())["deploy"]["preDeployTimeoutSeconds"]
    environ = dict(entry.split("=", 1) for entry in engine.config(app)["Env"])

    settings = parse_settings({**environ, "PGHOST": "db"}, default_sql_dir=SQL)

    assert settings.deadline_s < limit
    assert settings.on_failure is OnFailure.RESCUE


def test_the_app_is_started_on_42_tables(
    engine: Engine, app: str, deploy: Callable[[str], tuple[dict, str]], shop: Database
) -> None:
    """It answers on PORT, and on SIGTERM ends by itself, as PID 1."""
    report, name = deploy(app)

    assert (report["exit_code"], report["outcome"]) == (0, "ok")
    assert shop.value(TABLES) == 42
    until(lambda: "listening" in engine.docker("logs", name).stdout, "it")
    path = json.loads((APP / "railway.json").read_text())["deploy"]["healthcheckPath"]
    ask = f"fetch('http://127.0.0.1:80{path}').then((answer) => console.log(answer.status))"
    assert engine.docker("exec", name, "node", "-e", ask).stdout.strip() == "200"
    assert '"verified' in engine.docker("logs", name).stdout
    engine.docker("stop", "--time", "5", name)
    assert state_of(engine, name) == ("exited", 0)


def test_behind_a_broken_migration_the_app_starts_on_its_minimal_schema(
    make_app: Callable[..., str], engine: Engine, deploy: Callable[[str], tuple[dict, str]]
) -> None:
    """TheKeyn says rescue, and the report says what failed."""
    report, name = deploy(make_app({"sql/migrations/0000_broken.sql": "create tabel it ()"}))

    assert (report["exit_code"], report["outcome"]) == (0, "degraded")
    assert "0000_broken.sql" in report["message"]
    until(lambda: "listening" in engine.docker("logs", name).stdout, "it")


def test_what_cannot_be_rescued_gates_the_deploy(
    make_app: Callable[..., str], deploy: Callable[[str], tuple[dict, str]]
) -> None:
    """No table of that name is made by anything."""
    declared = (SQL / "predeploy.toml").read_text()
    lines = declared.replace("[critical]\n", '[critical]\nof_no_migration = ["id"]\n')

    report, name = deploy(make_app({"sql/predeploy.toml": lines}))

    assert (report["exit_code"], name) == (82, "")


def test_an_app_whose_gate_was_lost_does_not_start(
    engine: Engine, app: str, start: Callable[[str], str]
) -> None:
    """Its own boot verifies: 82 on an empty database."""
    name = start(app)

    until(lambda: state_of(engine, name)[0] == "exited", "it")
    assert state_of(engine, name) == ("exited", 82), engine.docker("logs", name).stdout


def test_as_a_service_of_its_own_it_migrates_verifies_and_ends(
    slim: str, job: Job, shop: Database
) -> None:
    """The start command replaces the entrypoint, and no shell reads it."""
    config = json.loads((ROOT / "railway.json").read_text())["deploy"]
    program, *arguments = config["startCommand"].split()

    migrated = job(slim, "-c", config["preDeployCommand"], more=("--entrypoint", "/bin/sh"))
    verified = job(slim, *arguments, more=("--entrypoint", program))

    assert (migrated.returncode, verified.returncode) == (0, 0), verified.stdout
    assert shop.value(TABLES) == 42
    assert report_of(verified)["command"] == "verify"


def test_the_page_quotes_the_files() -> None:
    """What docs/railway.md shows stands in the example."""
    page = (ROOT / "docs/railway.md").read_text()
    quoted = [
        line.strip().removesuffix(",")
        for block in re.findall(r"^```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    files = [path.read_text() for path in APP.rglob("*") if path.is_file()]

    assert len(quoted) >= 5
    assert [line for line in quoted if not any(line in text for text in files)] == []


def state_of(engine: Engine, name: str) -> tuple[str, int]:
    form = "{{.State.Status}} {{.State.ExitCode}}"
    status, code = engine.docker("inspect", "-f", form, name).stdout.split()
    return status, int(code)
