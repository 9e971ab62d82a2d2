"""Fixtures of the end-to-end and interop tests: each test gets a server and a database of its own; one Postgres
cluster and one Redis serve them all, except where a test kills them."""

import itertools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import paths  # noqa: E402
from harness.cyand import Cyand, run_cyand  # noqa: E402
from harness.postgres import Postgres  # noqa: E402
from harness.redis import Redis  # noqa: E402
from harness.relay import Relay  # noqa: E402
from harness.swarm import Swarm  # noqa: E402


def pytest_collection_modifyitems(items):
    """Long tests begin early, spread over all that run at a time, so that what comes last is short."""
    long = [item for item in items if item.get_closest_marker("long")]
    short = [item for item in items if not item.get_closest_marker("long")]
    apart = max(1, len(short) // (2 * len(long) + 1))
    for place, item in enumerate(long):
        short.insert(place * (apart + 1), item)
    items[:] = short


@pytest.fixture(scope="session", autouse=True)
def programs_are_built():
    for program in (paths.CYAND, paths.SWARM, paths.CYANCTL, paths.READERS):
        assert program.exists(), f"{program} is missing: build first, or set CYAN_BUILD_DIR"


def migrated_database(postgres):
    database = postgres.create_database()
    result = run_cyand("migrate", "--store-postgres", postgres.conninfo(database))
    assert result.returncode == 0, f"cyand migrate: {result.returncode} {result.stderr}"
    return database


@pytest.fixture(scope="session")
def postgres():
    cluster = Postgres()
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def migrated(postgres):
    """The name of a migrated, empty database to copy."""
    return migrated_database(postgres)


@pytest.fixture
def own_postgres():
    """A cluster for this test alone, as durable as in production."""
    cluster = Postgres(durable=True)
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def redis_server():
    server = Redis()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def redis(redis_server, _prefixes=itertools.count(1)):
    """Keys of this test's own in the Redis all tests share: new_cyand(**redis.settings)."""
    return redis_server.space(f"t{next(_prefixes)}:")


@pytest.fixture
def own_redis():
    """A Redis for this test alone, which it may kill, freeze and start again."""
    server = Redis()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def database(postgres, migrated):
    return postgres.create_database(template=migrated)


@pytest.fixture
def new_cyand(postgres, database):
    """Call it with settings to get a server that runs; every one is stopped at the end."""
    made = []

    def make(started=True, **settings):
        server = Cyand(settings.pop("cluster", postgres), settings.pop("database", database), **settings)
        made.append(server)
        return server.start() if started else server

    yield make
    close_all(made)


@pytest.fixture
def cyand(new_cyand):
    return new_cyand()


@pytest.fixture
def new_swarm(tmp_path):
    """Call it with (server, devices=N, ...) to get simulated devices; every swarm is stopped at the end."""
    made = []

    def make(server, **options):
        swarm = Swarm(server, tmp_path / f"swarm{len(made)}", **options)
        made.append(swarm)
        return swarm

    yield make
    close_all(made)


@pytest.fixture
def new_relay():
    made = []

    def make(server):
        relay = Relay(server.address)
        made.append(relay)
        return relay

    yield make
    close_all(made)


def close_all(made):
    """Closes every one even when closing another fails."""
    failures = []
    for one in reversed(made):
        try:
            one.close()
        except Exception as failure:  # the first is raised when all are closed
            failures.append(failure)
    if failures:
        raise failures[0]
