"""The files by which a platform runs predeploy before an app, as `predeploy init` writes them.

Names in capitals are to be replaced. What each line is for is in docs/platforms.md.
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
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: predeploy
          image: ghcr.io/OWNER/APP-migrations:RELEASE
          env:
            - {{name: PREDEPLOY_DEADLINE, value: 10m}}
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef: {{name: APP-database, key: DATABASE_URL}}
          resources:
            requests: {{cpu: 50m, memory: 64Mi}}
            limits: {{memory: 256Mi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
"""
_COMPOSE = """# docker compose --file compose.yaml --file compose.predeploy.yaml up --detach
services:
  predeploy:
    image: {image}
    environment:
      DATABASE_URL: ${{DATABASE_URL:?}}
    volumes:
      - ./{folder}:/sql:ro
    restart: "no"
    read_only: true
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
      - name: Migrate
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
    name: {image}
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
    - predeploy run
    - predeploy run
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

PLATFORMS = {
    "railway": Platform({"railway.json": _RAILWAY}, _TO_THE_DOCKERFILE),
    "kubernetes": Platform(
        {"predeploy-job.yaml": _JOB, "predeploy.Dockerfile": _IMAGE_OF_ITS_OWN},
        ("build and push the image of predeploy.Dockerfile with each release",),
    ),
    "compose": Platform(
        {"compose.predeploy.yaml": _COMPOSE},
        (
            "have the app wait, by its depends_on:",
            "  predeploy: {{condition: service_completed_successfully}}",
        ),
    ),
    "github": Platform({".github/workflows/predeploy.yml": _GITHUB}, ()),
    "gitlab": Platform(
        {".gitlab/predeploy.gitlab-ci.yml": _GITLAB},
        ("include it in .gitlab-ci.yml: include: .gitlab/predeploy.gitlab-ci.yml",),
    ),
    "fly": Platform({"fly.toml": _FLY}, _TO_THE_DOCKERFILE),
    "render": Platform({"render.yaml": _RENDER}, _TO_THE_DOCKERFILE),
}


def filled(name: str, folder: str, version: str) -> Platform:
    """Return a platform's files for the SQL folder at `folder`, and this version of predeploy."""
    platform = PLATFORMS[name]
    values = {
        "folder": folder,
        "image": f"{_IMAGE}:{version}",
        "program": _IN_THE_APP,
        "version": version,
    }
    return Platform(
        {path: text.format(**values) for path, text in platform.files.items()},
        tuple(text.format(**values) for text in platform.by_hand),
    )
