"""The files by which a platform runs predeploy before an app, as `predeploy init` writes them.

Names in capitals are to be replaced; no platform takes them as they are. What each line is for is
in docs/platforms.md. A command of the operator's needs the app's image: predeploy's own has neither
its interpreter nor its files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

_IMAGE = "ghcr.io/OWNER/predeploy"
_IN_THE_APP = "/opt/predeploy/bin/predeploy"


@dataclass(frozen=True, slots=True)
class Platform:
    """Its files by path, and what is left to do by hand; both as texts to be filled."""

    files: Mapping[str, str]
    by_hand: tuple[str, ...]


_IMAGE_OF_ITS_OWN = """FROM {image}
COPY {folder} /sql
"""
_TO_THE_DOCKERFILE = (
    "put into the app's Dockerfile: COPY --from={image} /opt/predeploy /opt/predeploy",
    "and: COPY {folder} /sql",
)
_JOB = """# Migrates once a release, before the app's new pods.
apiVersion: batch/v1
kind: Job
metadata:
  name: APP-migrations-RELEASE
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 2700
  ttlSecondsAfterFinished: 86400
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions: [{{type: DisruptionTarget}}]
      - action: FailJob
        onExitCodes:
          containerName: predeploy
          operator: In
          values: [1, 2, 64, 65, 66, 70, 76, 77, 78, 80, 81, 82, 83, 84]
  template:
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
{user}        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: predeploy
{job}          env:
            - {{name: PREDEPLOY_DEADLINE, value: 10m}}
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef: {{name: APP-database, key: DATABASE_URL}}
          resources:
            requests: {{cpu: 50m, memory: 64Mi}}
            limits: {{memory: {memory}}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: {read_only}
            capabilities: {{drop: [ALL]}}
"""
_COMPOSE = """# docker compose --file compose.yaml --file compose.predeploy.yaml up --detach
services:
  predeploy:
{service}    environment:
      DATABASE_URL: ${{DATABASE_URL:?}}
    restart: "no"
    read_only: {read_only}
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
"""
_GITHUB = """name: database
on: pull_request
permissions:
  contents: read

jobs:
  migrate:
    runs-on: ubuntu-latest
    services:
      postgres:
        image: postgres:18
        env:
          POSTGRES_PASSWORD: smoke
        ports: ["5432:5432"]
    env:
      DATABASE_URL: postgresql://postgres:smoke@localhost:5432/postgres
    steps:
      - uses: actions/checkout@v6
{install}      - name: Migrate
        uses: OWNER/predeploy@v{version}
        with:
          sql-dir: {folder}
      - name: Migrate again
        id: again
        uses: OWNER/predeploy@v{version}
        with:
          sql-dir: {folder}
      - name: There was nothing left to do
        run: test "$OUTCOME" = settled
        env:
          OUTCOME: ${{{{ steps.again.outputs.outcome }}}}
"""
_GITLAB = """database:
  image:
    name: {ci_image}
    entrypoint: [""]
  services:
    - name: postgres:18
      alias: db
  variables:
    POSTGRES_PASSWORD: smoke
    DATABASE_URL: postgresql://postgres:smoke@db:5432/postgres
    PREDEPLOY_SQL_DIR: $CI_PROJECT_DIR/{folder}
    PREDEPLOY_REPORT: /tmp/predeploy.json
  script:
    - {ci_program} run
    - {ci_program} run
    - grep '"outcome":"settled"' "$PREDEPLOY_REPORT"
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
"""
_FLY = """[deploy]
release_command = "{program} run"
release_command_timeout = "15m"

[env]
PREDEPLOY_DEADLINE = "14m"
"""
_RENDER = """services:
  - type: web
    name: APP
    runtime: docker
    plan: starter
    preDeployCommand: {program} run
    envVars:
      - key: DATABASE_URL
        fromDatabase: {{name: APP-db, property: connectionString}}
      - key: PREDEPLOY_DEADLINE
        value: 25m
databases:
  - name: APP-db
"""
_RAILWAY = (
    json.dumps(
        {
            "$schema": "https://railway.com/railway.schema.json",
            "build": {"builder": "DOCKERFILE", "dockerfilePath": "Dockerfile"},
            "deploy": {"preDeployCommand": "PROGRAM run", "preDeployTimeoutSeconds": 1900},
        },
        indent=2,
    )
    .replace("{", "{{")
    .replace("}", "}}")
    .replace("PROGRAM", "{program}")
    + "\n"
)

_BUILT = "build and push the image of predeploy.Dockerfile with each release"
_WAITS = (
    "have the app wait, by its depends_on:",
    "  predeploy: {{condition: service_completed_successfully}}",
)
_INCLUDED = "include it in .gitlab-ci.yml: include: .gitlab/predeploy.gitlab-ci.yml"

PLATFORMS = {
    "railway": Platform({"railway.json": _RAILWAY}, _TO_THE_DOCKERFILE),
    "kubernetes": Platform(
        {"predeploy-job.yaml": _JOB, "predeploy.Dockerfile": _IMAGE_OF_ITS_OWN}, (_BUILT,)
    ),
    "compose": Platform({"compose.predeploy.yaml": _COMPOSE}, _WAITS),
    "github": Platform({".github/workflows/predeploy.yml": _GITHUB}, ()),
    "gitlab": Platform({".gitlab/predeploy.gitlab-ci.yml": _GITLAB}, (_INCLUDED,)),
    "fly": Platform({"fly.toml": _FLY}, _TO_THE_DOCKERFILE),
    "render": Platform({"render.yaml": _RENDER}, _TO_THE_DOCKERFILE),
}
# Where what is written for a command is something else.
_OF_A_COMMAND = {
    "kubernetes": Platform(
        {"predeploy-job.yaml": _JOB},
        (*_TO_THE_DOCKERFILE, "and, as no container there may run as root: USER 65532"),
    ),
    "compose": Platform({"compose.predeploy.yaml": _COMPOSE}, (*_TO_THE_DOCKERFILE, *_WAITS)),
    "github": Platform(
        {".github/workflows/predeploy.yml": _GITHUB},
        ("put in the place of INSTALL_COMMAND what installs {tool} and what it imports",),
    ),
    "gitlab": Platform(
        {".gitlab/predeploy.gitlab-ci.yml": _GITLAB}, (*_TO_THE_DOCKERFILE, _INCLUDED)
    ),
}
_IN_AN_IMAGE_OF_ITS_OWN = {
    "job": "          image: ghcr.io/OWNER/APP-migrations:RELEASE\n",
    "user": "        runAsUser: 65532\n        runAsGroup: 65532\n",
    "memory": "256Mi",
    "read_only": "true",
    "service": "    image: {image}\n    volumes:\n      - ./{folder}:/sql:ro\n",
    "install": "",
    "ci_image": "{image}",
    "ci_program": "predeploy",
}
# Whose user may write where its tools keep caches, and whose interpreter takes more memory.
_IN_THE_APPS_IMAGE = {
    "job": (
        f"          image: ghcr.io/OWNER/APP:RELEASE\n          command: [{_IN_THE_APP}, run]\n"
    ),
    "user": "",
    "memory": "512Mi",
    "read_only": "false",
    "service": f"    build: .\n    entrypoint: [{_IN_THE_APP}, run]\n",
    "install": "      - name: Install {tool}\n        run: INSTALL_COMMAND\n",
    "ci_image": "ghcr.io/OWNER/APP:RELEASE",
    "ci_program": _IN_THE_APP,
}


def filled(name: str, folder: str, version: str, tool: str = "") -> Platform:
    """Return a platform's files for the SQL folder at `folder`, and this version of predeploy.

    `tool` names the program whose command migrates; empty where predeploy reads the SQL itself.
    """
    platform = (_OF_A_COMMAND if tool else {}).get(name, PLATFORMS[name])
    values = {
        "folder": folder,
        "image": f"{_IMAGE}:{version}",
        "program": _IN_THE_APP,
        "version": version,
        "tool": tool,
    }
    varied = _IN_THE_APPS_IMAGE if tool else _IN_AN_IMAGE_OF_ITS_OWN
    values |= {key: text.format(**values) for key, text in varied.items()}
    return Platform(
        {path: text.format(**values) for path, text in platform.files.items()},
        tuple(text.format(**values) for text in platform.by_hand),
    )
