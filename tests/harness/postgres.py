"""A private Postgres: its own cluster in a temporary folder, reachable through a unix socket only."""

import csv
import glob
import io
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from . import processes
from .waiting import wait_until


def _program(name):
    found = shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)
    assert found, f"{name} not found: install Debian's postgresql"
    return found


def _server_user():
    """Postgres refuses to run as root; then it runs as somebody else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("no unprivileged user for Postgres")


class Session:
    """One psql that stays, for very many statements."""

    _END = "\\echo the end of it\n"

    def __init__(self, conninfo):
        self._psql = processes.start([_program("psql"), "-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1", "-d", conninfo], cwd="/",
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def query(self, sql):
        self._psql.stdin.write(sql + ";\n" + self._END)
        self._psql.stdin.flush()
        lines = []
        for line in self._psql.stdout:
            if line == "the end of it\n":
                return list(csv.reader(lines))
            lines.append(line)
        raise AssertionError("".join(lines))

    def close(self):
        self._psql.stdin.close()
        self._psql.stdout.close()
        processes.stop(self._psql)


class Postgres:
    """One cluster. durable: writes reach the disk before they count, as in production; costs time."""

    def __init__(self, durable=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cyan-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        self._as = _server_user()
        if self._as:
            os.chown(self.folder, self._as.pw_uid, self._as.pw_gid)
        self._process = None
        self._databases = 0
        self._initialise(durable)
        self.start()

    def _user_options(self):
        if not self._as:
            return {}
        return {"user": self._as.pw_uid, "group": self._as.pw_gid, "extra_groups": []}

    def _initialise(self, durable):
        subprocess.run([_program("initdb"), "-D", self.data, "-U", "cyan", "-A", "trust", "-E", "UTF8", "--no-locale",
                        "--no-sync"], check=True, cwd="/", stdout=subprocess.DEVNULL, **self._user_options())
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.folder}'",
            "max_connections": "60",
            "shared_buffers": "'32MB'",
            "fsync": "on" if durable else "off",
            "log_min_messages": "warning",
        }
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self):
        with open(self.folder / "log", "ab") as log:
            # SIGINT is Postgres's "fast shutdown"
            self._process = processes.start([_program("postgres"), "-D", self.data], death_signal=signal.SIGINT,
                                            cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            **self._user_options())
        wait_until(self._answers, lambda: "Postgres answers; its log: " + self.log(), 60)

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _answers(self):
        assert self._process.poll() is None, self.log()
        return self._psql("postgres", "SELECT 1").returncode == 0

    def kill(self):
        """kill -9 of the postmaster and of every process it started."""
        assert self._process.poll() is None
        pids = [self._process.pid] + processes.children_of(self._process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        processes.forget(self._process)
        wait_until(lambda: all(processes.is_gone(pid) for pid in pids), "every process of Postgres is gone")

    def close(self):
        if self._process is not None:
            processes.stop(self._process, signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def conninfo(self, database):
        return f"host={self.folder} user=cyan dbname={database}"

    def session(self, database):
        return Session(self.conninfo(database))

    def create_database(self, template=None):
        self._databases += 1
        name = f"t{self._databases}"
        self.query(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    def _psql(self, database, sql):
        return subprocess.run([_program("psql"), "-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1", "-d",
                               self.conninfo(database), "-c", sql],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/")

    def query(self, sql, database="postgres"):
        """Rows as lists of text; NULL is ''."""
        result = self._psql(database, sql)
        assert result.returncode == 0, result.stderr
        return list(csv.reader(io.StringIO(result.stdout)))
