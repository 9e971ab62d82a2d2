"""Many readers at once: all that keep up get every event once and in order, those that stall are cut and harm nobody."""

import json
import signal
import subprocess

from harness import paths, processes
from harness.waiting import wait_until

READERS, STALLED, DEVICES = 150, 5, 20


class Readers:
    """cyan-readers, whose streams are all open when this is made."""

    def __init__(self, cyand, token, folder, *flags):
        token_file = folder / "token"
        token_file.write_text(token + "\n")
        self.process = processes.start([paths.READERS, "--server", f"127.0.0.1:{cyand.http_port}", "--token-file", token_file,
                                        "--seconds", 600, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.opened = self._said("open")["readers"]

    def _said(self, event):
        line = json.loads(self.process.stdout.readline())
        assert line["event"] == event, line
        return line

    def finish(self):
        self.process.stdin.write(b"end\n")
        self.process.stdin.flush()
        report = self._said("report")
        self.process.wait(30)
        assert self.process.returncode == 0
        processes.forget(self.process)
        self.process.stdin.close()
        self.process.stdout.close()
        return report


def test_a_crowd_of_readers(new_cyand, new_swarm, tmp_path):
    cyand = new_cyand(http_streams_per_address=0, http_stream_lag_kib=32)
    joe = cyand.rest("owner", "joe")
    swarm = new_swarm(cyand, devices=DEVICES, event_interval_ms=20, ramp=1000)
    swarm.wait_connected(DEVICES)
    readers = Readers(cyand, joe.token, tmp_path, "--readers", READERS, "--stalled", STALLED)
    assert readers.opened == READERS + STALLED
    assert cyand.metrics().sum("cyan_streams") == READERS + STALLED
    cyand.query("UPDATE device SET owner_id = (SELECT id FROM users WHERE name = 'joe')")  # now all begin with the same event
    wait_until(lambda: cyand.metrics().sum("cyan_streams_ended_total", reason="slow") == STALLED, "those that stall are cut", 240)
    assert swarm.finish()["protocol_errors"] == {}
    got = readers.finish()
    assert got["whole"] == READERS and got["cut"] == got["refused"] == 0, got
    assert got["missing"] == got["repeated"] == got["malformed"] == 0 and got["deliveries"] >= READERS * 1000, got
    assert got["stalled_cut"] == STALLED and got["devices"] == DEVICES
    wait_until(lambda: cyand.metrics().sum("cyan_streams") == 0 or joe.ok("POST", "/v1/devices/events", {"name": "x"}) is None,
               "they are gone", 60)
    assert cyand.metrics().sum("cyan_stream_held_bytes") == 0
    assert cyand.stop(signal.SIGTERM) == 0
