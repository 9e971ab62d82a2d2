"""cyan-swarm: simulated devices, driven over its --control lines (loadtest/README.md)."""

import hashlib
import json
import struct
import subprocess
import threading

from . import paths, processes
from .cyand import clean_environment
from .waiting import wait_until


def mixed_value(device, name, detail):
    """What a simulated device's function `mix` or `mixTwo` returns for an argument, and `anInt` at its read number detail;
    aBool is its lowest bit, aDouble it / 256, aString DEVICE:NUMBER."""
    digest = hashlib.sha256(f"{device}\n{name}\n{detail}".encode()).digest()
    return struct.unpack(">i", digest[:4])[0]


def _whole_lines(path):
    """Of a file of JSON lines that is being written."""
    lines = path.read_text().split("\n") if path.exists() else [""]
    return [json.loads(line) for line in lines[:-1]]  # the last is empty, or half there


class Swarm:
    """Runs from the start; devices connect at once. address: in place of the server's, a relay's.
    devices: how many; file: exact ones, as --devices-file takes them. enrol=False: nobody tells the server of them.
    Other options are flags: event_interval_ms=500 is --event-interval-ms 500, no_cid=True is --no-cid."""

    def __init__(self, cyand, folder, address=None, devices=0, file=None, enrol=True, **options):
        folder.mkdir()
        self.folder = folder
        self._ledger, self._report, self._truth = folder / "ledger", folder / "report.json", folder / "truth"
        address = address or cyand.address
        argv = [paths.SWARM, "run", "--control", "--server", f"{address[0]}:{address[1]}", "--server-key",
                cyand.settings["keys_dir"] / "server_key.der", "--state-dir", folder / "state", "--ledger", self._ledger,
                "--report", self._report, "--truth", self._truth, "--devices", devices, "--seed", folder.name]
        if file is not None:
            (folder / "devices.json").write_text(json.dumps(file))
            argv += ["--devices-file", folder / "devices.json"]
        if enrol:
            (folder / "token").write_text(cyand.rest().token + "\n")
            argv += ["--api", f"http://127.0.0.1:{cyand.http_port}", "--token-file", folder / "token"]
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            argv += [flag] if value is True else [flag, value]
        self._changed = threading.Condition()
        self.notices, self._answers, self._errors = [], [], []
        self._online = {}
        self._process = processes.start(argv, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self._readers = [threading.Thread(target=self._read, args=(self._process.stdout, self._take), daemon=True),
                         threading.Thread(target=self._read, args=(self._process.stderr, self._errors.append), daemon=True)]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe, take):
        with pipe:
            for line in pipe:
                take(line.decode("utf-8", "replace").rstrip("\n"))

    def _take(self, line):
        notice = json.loads(line)
        with self._changed:
            if notice["event"] in ("ok", "error", "status"):
                self._answers.append(notice)
            else:
                self.notices.append(notice)
            if notice["event"] == "online":
                self._online[notice["device"]] = True
            elif notice["event"] in ("offline", "asleep", "stopped"):
                self._online[notice["device"]] = False
            self._changed.notify_all()

    def said(self):
        return "\n".join(self._errors[-20:]) + f"\n{self.notices[-10:]}"

    def _alive(self):
        assert self._process.poll() is None, f"cyan-swarm ended with {self._process.returncode}: {self.said()}"

    # --- asking ---

    def send(self, cmd, device=None, **fields):
        """Does not wait, and does not mind when the swarm refuses. Returns what was sent."""
        line = {"cmd": cmd, **({"device": device} if device else {}), **fields}
        self._process.stdin.write((json.dumps(line) + "\n").encode())
        self._process.stdin.flush()
        return line

    def command(self, cmd, device=None, **fields):
        """Waits until it is done; fails when the swarm refuses."""
        first = len(self._answers)
        line = self.send(cmd, device, **fields)

        def answered():
            self._alive()
            return next((a for a in self._answers[first:] if a["event"] in ("ok", "error") and a["cmd"] == cmd), None)

        answer = wait_until(answered, f"an answer to {line}", every_s=0.01)
        assert answer["event"] == "ok", answer
        return self._answers[first:]

    def status(self):
        return next(a for a in self.command("status") if a["event"] == "status")

    def publish(self, device, name, data):
        """Returns when the server has acknowledged it."""
        first = len(self.notices)
        self.command("event", device, name=name, data=data)
        self.wait_notice("acked", device, lambda n: n["name"] == name and n["data"] == data, first)

    # --- watching ---

    def wait_notice(self, event, device=None, also=lambda notice: True, first=0, deadline_s=60):
        def seen():
            self._alive()
            return next((n for n in self.notices[first:]
                         if n["event"] == event and device in (None, n["device"]) and also(n)), None)

        return wait_until(seen, lambda: f"the swarm tells {event} of {device}; it said {self.said()}", deadline_s)

    def online(self):
        return sorted(device for device, is_online in list(self._online.items()) if is_online)

    def wait_connected(self, count, deadline_s=90):
        def connected():
            self._alive()
            return len(self.online()) >= count

        wait_until(connected, lambda: f"{count} devices online, {len(self.online())} are: {self.said()}", deadline_s)
        return self

    def cold_boot(self, device):
        """Memory lost but for the session."""
        self.command("cold_boot", device)

    def handshakes(self):
        return self.status()["stats"]["handshakes_ok"]

    def ledger(self):
        """What the server acknowledged, oldest first: device, name, data."""
        return _whole_lines(self._ledger)

    def truth(self, event=None, device=None):
        """What really happened to devices, oldest first (loadtest/README.md); the last line of each is its `end`, once the
        swarm has ended."""
        return [line for line in _whole_lines(self._truth)
                if event in (None, line["event"]) and device in (None, line["device"])]

    def runs(self, device):
        """What the device really runs now: {"s1": 6200, ...}, without asking the server."""
        modules = self.truth("runs", device)[-1]["modules"]
        return {module["f"] + module["n"]: module["v"] for module in modules}

    def defects(self, device, **what):
        """What goes wrong with the next updates of the device: lie=1, ..."""
        self.command("defects", device, set=what)

    def count_acked(self):
        return self._ledger.read_bytes().count(b"\n") if self._ledger.exists() else 0

    # --- end ---

    def finish(self):
        """Ends it in good order; its report."""
        if self._process.poll() is None:
            self._process.stdin.write(b'{"cmd":"quit"}\n')
            self._process.stdin.flush()
        self._process.wait(30)
        assert self._process.returncode == 0, f"cyan-swarm ended with {self._process.returncode}: {self.said()}"
        self.close()
        return json.loads(self._report.read_text())

    def close(self):
        processes.stop(self._process)
        if not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        for reader in self._readers:
            reader.join(10)
        fatal = [line for line in self._errors if "Sanitizer" in line or "runtime error" in line or "must.failed" in line]
        assert not fatal, "\n".join(self._errors[-60:])


class Hold:
    """Very many devices, at rest but for those that a phase wakes: cyan-swarm hold. They follow from the folder's name and
    are enrolled by a script, in one transaction; resuming=PATH goes on with sessions that save() has kept there. Other options
    are flags, as with Swarm."""

    def __init__(self, cyand, folder, devices, address=None, seed=None, enrol=True, resuming=None, **options):
        folder.mkdir()
        self.devices = devices
        who = ["--devices", devices, "--seed", seed or folder.name, "--platforms", options.pop("platforms", "p2")]
        if enrol:
            script = folder / "enrol.sql"
            subprocess.run([str(word) for word in [paths.SWARM, "keys", "--derive-keys", "--sql", script, *who]], check=True,
                           env=clean_environment(), stdin=subprocess.DEVNULL)
            subprocess.run(["psql", "-X", "-q", "-d", cyand.postgres.conninfo(cyand.database), "-f", script], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        address = address or cyand.address
        argv = [paths.SWARM, "hold", "--control", "--server", f"{address[0]}:{address[1]}", "--server-key",
                cyand.settings["keys_dir"] / "server_key.der", *who]
        argv += ["--load", resuming] if resuming else []
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            argv += [flag] if value is True else [flag, value]
        self.lines, self._errors = [], []
        self._process = processes.start(argv, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self._readers = [threading.Thread(target=Swarm._read, args=(self._process.stdout, self._take), daemon=True),
                         threading.Thread(target=Swarm._read, args=(self._process.stderr, self._errors.append), daemon=True)]
        for reader in self._readers:
            reader.start()

    def _take(self, line):
        self.lines.append(json.loads(line))

    def wait_line(self, event, first=0, deadline_s=120):
        """The next line of this kind: the figures of a phase."""
        def said():
            assert self._process.poll() is None, f"cyan-swarm ended with {self._process.returncode}: {self._errors[-20:]}"
            return next((line for line in self.lines[first:] if line["event"] in (event, "error")), None)

        line = wait_until(said, lambda: f"cyan-swarm hold says {event}; it said {self.lines[-3:]} {self._errors[-20:]}", deadline_s)
        assert line["event"] == event, line
        return line

    def command(self, cmd, **fields):
        """Returns from where in lines to look for what comes of it."""
        first = len(self.lines)
        self._process.stdin.write((json.dumps({"cmd": cmd, **fields}) + "\n").encode())
        self._process.stdin.flush()
        self.wait_line("ok", first)
        return first

    def phase(self, cmd, deadline_s=240, **fields):
        """ramp, wake or storm: its figures, once it is over."""
        return self.wait_line(cmd, self.command(cmd, **fields), deadline_s)

    def status(self):
        return self.wait_line("status", self.command("status"))

    def save(self, path):
        self.command("save", file=str(path))

    def close(self):
        if not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        processes.stop(self._process)
        for reader in self._readers:
            reader.join(10)
        fatal = [line for line in self._errors if "Sanitizer" in line or "runtime error" in line or "must.failed" in line]
        assert not fatal, "\n".join(self._errors[-60:])
