"""What is disturbed, made ready: a database to start from, messages, and what is to come of it."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from comparison import Undisturbed
from conftest import SQL, Database, job_environ, url_of
from crashing import Crashing
from forked import forked_job
from messages import Messages
from production import environ
from proxy import Proxy, proxied
from workloads import Workload

from predeploy.contract.plan import Outcome

_A_RUN_S = 120


class Maker:
    """Makes databases and drops them; `crashing` is their server, where that can be crashed."""

    def __init__(self, superuser_url: str, crashing: Crashing | None = None) -> None:
        self.server = Database("postgres", superuser_url)
        self.crashing = crashing
        self.names: list[str] = []

    def make(self, template: str | None = None) -> Database:
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        source = f' template "{template}"' if template else ""
        self.server.execute(f'create database "{name}"{source} strategy file_copy')
        self.names.append(name)
        return Database(name, url_of(self.server.url, name))

    def drop(self, database: Database) -> None:
        self.server.execute(f'drop database "{database.name}" with (force)')
        self.names.remove(database.name)

    def drop_all(self) -> None:
        for name in list(self.names):
            self.server.execute(f'drop database if exists "{name}" with (force)')


@dataclass(frozen=True)
class Scene:
    """A workload on a server, and the database that it starts from; its files are below `root`."""

    workload: Workload
    maker: Maker
    template: str
    root: Path

    def clone(self) -> Database:
        """Make a database to run on; a clone is another database, and so has to settle anew."""
        database = self.maker.make(self.template)
        if self.workload.starts_shipped:
            run(self.settings(database))
        return database

    def settings(self, database: Database, proxy: Proxy | None = None) -> dict[str, str]:
        """Return the settings of a job, which meets the server by the proxy if there is one."""
        files = self.workload.files
        folder = SQL if files is None else written(self.root / "sql", files)
        given = settings_of(self.workload, database, folder)
        if proxy is None:
            return given
        # Without TLS, of which the proxy could not read the messages.
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{database.name}?sslmode=disable"
        return {**given, "DATABASE_URL": f"{url}&gssencmode=disable"}

    def settle(self, database: Database, story: str = "undisturbed") -> None:
        """Run undisturbed up to where there is nothing to do: at the second run at the latest."""
        settled = Outcome.SETTLED.value
        # The disturbed run may have come to its end, and left nothing to do.
        if run(self.settings(database), story)["outcome"] != settled:
            again = run(self.settings(database), story)
            assert again["outcome"] == settled, f"{story}: {again}"

    def elsewhere(self, maker: Maker) -> "Scene":
        """Set the same scene on another server."""
        return scene(self.workload, maker, self.root)


@dataclass(frozen=True)
class Stage:
    """A scene, the messages of an undisturbed run of it, and what has come of that."""

    scene: Scene
    messages: Messages
    undisturbed: Undisturbed

    def elsewhere(self, maker: Maker) -> "Stage":
        """Set the same scene on another server, where the same is to come of it."""
        return replace(self, scene=self.scene.elsewhere(maker))


def scene(workload: Workload, maker: Maker, root: Path) -> Scene:
    """Make the template."""
    template = maker.make()
    if workload.starts_shipped:
        run(settings_of(workload, template, SQL))
    if workload.before:
        run(settings_of(workload, template, written(root / "before", workload.before)))
    if workload.rows:
        template.execute(f"{workload.rows}; analyze")
    return Scene(workload, maker, template.name, root)


def staged(workload: Workload, maker: Maker, root: Path, known: Messages | None) -> Stage:
    """Set the scene, count the messages unless they are known, and keep what comes of it."""
    ours = scene(workload, maker, root)
    control = ours.clone()
    with proxied(port_of(control)) as proxy:
        run(ours.settings(control, proxy))
        counted = Messages({way: bytes(kinds) for way, kinds in proxy.kinds.items()})
    ours.settle(control)
    undisturbed = Undisturbed(control)
    maker.drop(control)
    return Stage(ours, known or counted, undisturbed)


def settings_of(workload: Workload, database: Database, folder: Path) -> dict[str, str]:
    return job_environ(environ(database, folder, **workload.environ))


def written(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        if not (root / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return root


def port_of(database: Database) -> int:
    return int(psycopg.conninfo.conninfo_to_dict(database.url)["port"])


def run(settings: Mapping[str, str], story: str = "undisturbed") -> dict[str, object]:
    """Run a job undisturbed, which must end well; return its report."""
    with forked_job("run", environ=settings) as job:
        status = job.wait(_A_RUN_S)
        assert status == 0, f"{story}: {status}\n{job.said}"
        report: dict[str, object] = json.loads(job.said.splitlines()[-1])
        return report
