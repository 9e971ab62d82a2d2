"""A private cyand with its Postgres, and with a Redis where durable sessions are measured."""

import os
import re
import signal
import subprocess
import time
import urllib.request

from . import processes
from .processes import CLIENT_CORE, ROOT, SERVER_CORE, Refused, run, wait_for


SEED = "bench"  # of the devices that are measured


class Cyan:
    """folder: one that Postgres's own user can enter. Started by start(); devices are enrolled before."""

    def __init__(self, build, folder, started):
        self.build, self.folder, self.started = build, folder, started
        self.keys, self.sockets = os.path.join(folder, "keys"), os.path.join(folder, "sockets")
        os.mkdir(self.keys, 0o700)
        self.program, self.log = os.path.join(build, "cyand"), os.path.join(folder, "cyand.log")
        self.settings = ["--store-postgres", f"host={self.sockets} user=cyan dbname=cyan", "--keys-dir", self.keys]
        self.process = self.redis = None
        self.port = "0"
        self.enrolled = {}

    # --- stores ---

    def start_stores(self):
        self.started.start([os.path.join(ROOT, "scripts/private-postgres.sh"), os.path.join(self.folder, "postgres"),
                            self.sockets], os.path.join(self.folder, "postgres.log"), CLIENT_CORE)
        wait_for(lambda: subprocess.run(["pg_isready", "-q", "-h", self.sockets, "-U", "cyan", "-d", "cyan"],
                                        check=False).returncode == 0, "Postgres", 60)
        run([self.program, "migrate"] + self.settings)
        self.psql("ALTER DATABASE cyan SET synchronous_commit = off")  # the disk is not what is measured
        run([self.program, "keygen"] + self.settings)

    def knows(self, flag):
        return flag in run([self.program, "--help"])

    def start_redis(self):
        """Memory only, on a unix socket: what is measured is cyand's side."""
        if self.redis:
            return
        self.redis_socket = os.path.join(self.folder, "redis.sock")
        self.redis = self.started.start(["redis-server", "--port", "0", "--unixsocket", self.redis_socket, "--save", "",
                                         "--appendonly", "no", "--dir", self.folder],
                                        os.path.join(self.folder, "redis.log"), CLIENT_CORE)
        wait_for(lambda: os.path.exists(self.redis_socket), "Redis")

    def enrol(self, profile, devices, seed=SEED):
        """The devices of a seed, in one transaction. Again only for more of them."""
        have = self.enrolled.get((profile, seed), 0)
        if have >= devices:
            return
        if have:
            raise Refused("all devices of a seed are enrolled at once")
        script = os.path.join(self.folder, "enrol.sql")
        run([os.path.join(self.build, "cyan-swarm"), "keys", "--derive-keys", "--devices", str(devices), "--sql", script]
            + self.devices(profile, seed))
        run(["psql", "-X", "-q", "-h", self.sockets, "-U", "cyan", "-d", "cyan", "-f", script], 1800)
        os.remove(script)
        self.enrolled[profile, seed] = devices

    @staticmethod
    def devices(profile, seed=SEED):
        """Who they are, for cyan-swarm. None of them waits for the server to ask it what it is."""
        return ["--profile", profile, "--seed", f"{seed} {profile}", "--platforms", "p2"]

    def psql(self, sql):
        return run(["psql", "-X", "-q", "-A", "-t", "-h", self.sockets, "-U", "cyan", "-d", "cyan", "-c", sql]).strip()

    # --- life ---

    def start(self, extra=()):
        """Returns the seconds until it said that it is ready."""
        flags = ["--coap-port", self.port, "--coap-port-alt", "0", "--coap-bind", "127.0.0.1", "--http-port", "0",
                 "--handshake-per-source", "4096", "--session-max", "2000000", *extra]
        skip = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        begin = time.monotonic()
        self.process = self.started.start([self.program, "run"] + self.settings + flags, self.log, SERVER_CORE)
        found = []

        def ready():
            if self.process.poll() is not None:
                raise Refused("cyand did not start: " + open(self.log, encoding="utf-8").read()[-300:])
            with open(self.log, encoding="utf-8", errors="replace") as log:
                log.seek(skip)
                found[:] = re.findall(r" ready coap=(\d+) http=(\d+)", log.read())
            return bool(found)

        wait_for(ready, "cyand", 120, 0.005)
        seconds = time.monotonic() - begin
        self.port, self.url = found[-1][0], "http://127.0.0.1:" + found[-1][1]
        self.address = "127.0.0.1:" + self.port
        return seconds

    def start_fresh(self, extra=()):
        """Without the sessions that the last one left."""
        self.stop()
        kept = os.path.join(self.keys, "sessions")
        if os.path.exists(kept):
            os.remove(kept)
        return self.start(extra)

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.started.stop(self.process, how)
        self.process = None

    # --- what it says ---

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self):
        return processes.resident_bytes(self.pid)

    def metrics(self):
        """Every sample by its name with labels; empty when it does not answer in time."""
        try:
            with urllib.request.urlopen(self.url + "/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        found = {}
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name and not line.startswith("#"):
                found[name] = float(value)
        return found

    def client(self, profile, seed=SEED):
        """What cyan-swarm needs to be told."""
        return ["--server", self.address, "--server-pid", str(self.pid), "--server-key",
                os.path.join(self.keys, "server_key.der"), "--path", "/t", "--derive-keys"] + self.devices(profile, seed)

    def fleet(self, seed=SEED):
        """The same for `cyan-swarm hold` and `run`, whose devices are Device OS."""
        return (["--server", self.address, "--server-key", os.path.join(self.keys, "server_key.der")]
                + self.devices("deviceos", seed))
