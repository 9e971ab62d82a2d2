"""One cyand process with its own keys, ports and database."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import shutil

from . import openapi, paths, processes
from .metrics import Metrics
from .rest import Rest
from .waiting import wait_until

_READY = re.compile(r"\bready coap=(\d+) http=(\d+)")


def clean_environment():
    """Without what would configure cyand behind the test's back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CYAN_")}
    kept.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4:malloc_context_size=8")
    kept.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    return kept


def run_cyand(*args, env=None, timeout_s=60, typed=None):
    """A cyand command that ends by itself. typed: what it reads from standard input."""
    options = {"stdin": subprocess.DEVNULL} if typed is None else {"input": typed}
    return subprocess.run([str(paths.CYAND), *map(str, args)], env=env or clean_environment(), capture_output=True, text=True,
                          timeout=timeout_s, **options)


class Cyand:
    """Flags are settings: Cyand(pg, db, devices_unknown="enrol") is --devices-unknown enrol. Started by start()."""

    def __init__(self, postgres, database, **settings):
        self.postgres, self.database = postgres, database
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cyan-d-", dir="/tmp"))
        self.config = self.folder / "cyand.conf"
        self.config.write_text("# empty\n")
        self.settings = {"coap_bind": "127.0.0.1", "coap_port": 0, "coap_port_alt": 0, "http_port": 0,
                         "keys_dir": self.folder / "keys", "store_postgres": postgres.conninfo(database)}
        self.settings.update(settings)
        self.process = None
        self.coap_port = self.http_port = None
        self._lines, self._reader = [], None
        self._admin_token = self._document = None

    # --- life ---

    def flags(self):
        found = ["--config", str(self.config)]
        for key, value in self.settings.items():
            if value is not None:
                section, _, name = key.partition("_")
                found += [f"--{section}-{name.replace('_', '-')}", str(value)]
        return found

    def start(self, deadline_s=60):
        assert self.process is None
        self.process = processes.start([paths.CYAND, "run", *self.flags()], env=clean_environment(),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        first = len(self._lines)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

        def ready():
            assert self.process.poll() is None, "cyand ended:\n" + self.log()
            return next(filter(None, map(_READY.search, self._lines[first:])), None)

        match = wait_until(ready, lambda: "cyand is ready; it said:\n" + self.log(), deadline_s)
        self.coap_port, self.http_port = int(match.group(1)), int(match.group(2))
        return self

    def _read(self, pipe):
        with pipe:
            for line in pipe:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def log(self, last=40):
        return "\n".join(self._lines[-last:])

    def log_lines(self, pattern):
        return [line for line in list(self._lines) if re.search(pattern, line)]

    def stop(self, how=signal.SIGTERM, deadline_s=30):
        """Returns the exit code."""
        process, self.process = self.process, None
        code = processes.stop(process, how, deadline_s)
        self._reader.join(10)
        return code

    def kill(self):
        self.stop(signal.SIGKILL)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def restart_on_same_ports(self, how=signal.SIGTERM):
        """Ends it and starts it again where devices and people expect it."""
        self.settings.update(coap_port=self.coap_port, http_port=self.http_port)
        code = self.stop(how)
        self.start()
        return code

    def close(self):
        """Stops what still runs. A sanitizer's or must()'s last words fail the test."""
        code = self.stop() if self.process is not None else 0
        shutil.rmtree(self.folder, ignore_errors=True)
        fatal = self.log_lines(r"(AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|must\.failed)")
        assert not fatal, self.log(80)
        assert code == 0, f"cyand ended with {code}:\n{self.log()}"

    # --- what it knows ---

    @property
    def pid(self):
        return self.process.pid

    def command(self, *words, typed=None):
        """`cyand WORDS` on the same database; returns its standard output."""
        kept = {"store_postgres", "keys_dir"}
        flags = ["--config", str(self.config)]
        for key in kept:
            section, _, name = key.partition("_")
            flags += [f"--{section}-{name.replace('_', '-')}", str(self.settings[key])]
        result = run_cyand(*words, *flags, typed=typed)
        assert result.returncode == 0, f"cyand {words}: {result.returncode} {result.stderr}"
        return result.stdout

    def create_token(self, role, user=None, expires_in_s=None):
        words = ["token", "create", "--role", role]
        words += ["--user", user] if user else []
        words += ["--expires-in", expires_in_s] if expires_in_s is not None else []
        return self.command(*words).strip()

    def create_user(self, name, password, role="owner"):
        return self.command("user", "add", name, "--role", role, typed=password + "\n")

    def log_in(self, name, password, **fields):
        """The JSON of a login, as command lines do it."""
        form = {"grant_type": "password", "username": name, "password": password, "client_id": "particle-cli",
                "client_secret": "particle-cli", **fields}
        return self.anonymous().ok("POST", "/oauth/token", form=form)

    def rest(self, role="admin", user=None):
        """A client with a fresh token; the nameless admin's is kept."""
        if role == "admin" and user is None:
            self._admin_token = self._admin_token or self.create_token("admin")
            return Rest(self.http_port, self._admin_token, document=self.checked_document())
        return Rest(self.http_port, self.create_token(role, user), document=self.checked_document())

    def anonymous(self):
        return Rest(self.http_port, document=self.checked_document())

    def document(self):
        """What it says of itself, openapi.Document."""
        if self._document is None:
            self._document = openapi.Document(Rest(self.http_port).ok("GET", "/v1/openapi.json"))
        return self._document

    def checked_document(self):
        """Every answer of every test is held against it when CHECK_ANSWERS is set."""
        return self.document() if os.environ.get("CHECK_ANSWERS") else None

    def routes(self):
        """The route table: method, path, access, scope."""
        return json.loads(self.command("routes", "--json"))

    def metrics(self):
        answer = self.anonymous().get("/metrics")
        assert answer.status == 200, answer
        return Metrics(answer.text)

    def query(self, sql):
        return self.postgres.query(sql, self.database)

    def resident_bytes(self):
        return processes.resident_bytes(self.pid)

    @property
    def address(self):
        return ("127.0.0.1", self.coap_port)
