"""/opt/predeploy in images that it was not made for: no Python, another libc, another path."""

import subprocess
from collections.abc import Iterator

import pytest
from conftest import Database
from containers import Engine, Job

pytestmark = [pytest.mark.dear, pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
PREDEPLOY = "/opt/predeploy/bin/predeploy"
TABLES = "select count(*) from pg_tables where schemaname = 'public'"
BASES = ("node:22-slim", pytest.param("debian:bookworm-slim", marks=pytest.mark.slow))
# Beside the graft: a copy at another path, a link to that, and a folder that breaks what reads it.
DOCKERFILE = """\
FROM predeploy AS predeploy
FROM {base}
COPY --from=predeploy /opt/predeploy /opt/predeploy
RUN mkdir -p /srv && cp -a /opt/predeploy /srv/elsewhere && mkdir /links && \
    ln -s ../srv/elsewhere/bin/predeploy /links/inner && ln -s inner /links/outer
RUN mkdir /junk && ln -s /lib/*-linux-gnu/libm.so.6 /junk/libm.so.6 && \
    echo junk > /junk/libz.so.1 && echo "raise SystemExit(99)" > /junk/json.py
COPY sql /app/sql
WORKDIR /app
USER 1000:1000
"""


@pytest.fixture(scope="module", params=BASES)
def grafted(
    request: pytest.FixtureRequest,
    engine: Engine,
    slim: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """An image with the tree in it, without Python of its own."""
    assert slim == "predeploy"
    base = request.param
    file = tmp_path_factory.mktemp("graft") / "Dockerfile"
    file.write_text(DOCKERFILE.format(base=base))
    tag = f"predeploy-graft:{base.replace(':', '-')}"
    engine.build(tag, "--file", file)
    assert shell(engine, tag, "command -v python3 || command -v python").returncode != 0
    yield tag
    engine.docker("image", "rm", "--force", tag)


def shell(engine: Engine, image: str, script: str) -> subprocess.CompletedProcess[str]:
    return engine.docker("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script, check=False)


def test_it_migrates_in_an_image_of_another_libc(grafted: str, job: Job, shop: Database) -> None:
    done = job(grafted, "run", more=("--entrypoint", PREDEPLOY))

    assert done.returncode == 0, done.stdout
    assert shop.value(TABLES) == 42


def test_the_images_are_of_another_libc_than_the_tree(engine: Engine, grafted: str) -> None:
    """Otherwise this file proves nothing: the interpreter itself does not start here."""
    with_its_libraries = shell(
        engine, grafted, "LD_LIBRARY_PATH=/opt/predeploy/lib /opt/predeploy/bin/python3 -IS -c pass"
    )

    assert with_its_libraries.returncode != 0


@pytest.mark.parametrize("command", ["/srv/elsewhere/bin/predeploy", "/links/outer"])
def test_a_copy_elsewhere_and_a_link_to_it_run(grafted: str, job: Job, command: str) -> None:
    """And need nothing at the old path."""
    done = job(grafted, "plan", more=("--entrypoint", command, "--tmpfs", "/opt/predeploy"))

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "setting",
    [
        "PYTHONPATH=/junk",
        "PYTHONHOME=/junk",
        "PYTHONSTARTUP=/junk/json.py",
        "LD_LIBRARY_PATH=/junk",
        "LD_PRELOAD=/junk/libm.so.6",
        "LC_ALL=xx_XX",
    ],
)
def test_what_the_app_sets_for_itself_is_not_obeyed(grafted: str, job: Job, setting: str) -> None:
    done = job(grafted, "plan", more=("--entrypoint", PREDEPLOY, "-e", setting))

    assert done.returncode == 0, done.stdout
    assert "ERROR" not in done.stdout
