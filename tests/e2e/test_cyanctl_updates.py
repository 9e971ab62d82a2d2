"""From files of firmware to a fleet brought up to date, with cyanctl alone."""

import csv
import json
import signal

import pytest

from harness import firmware
from harness.ctl import Ctl
from harness.keys import new_device_id
from harness.waiting import wait_until

OK, REFUSED, USAGE, AWAY, NOT_LOGGED_IN, NOT_FOUND, CONFLICT, ENDED_BADLY = range(8)
ARGON = firmware.ARGON
SETTINGS = {"update_start_delay_s": 0, "update_describe_again_s": 1, "update_backoff_s": 1, "update_reboot_s": 60}


class Fleet:
    """Three Argons and the people who run them; quick: their reboots take a second."""

    def __init__(self, cyand, new_swarm, tmp_path, defects=None):
        self.cyand, self.folder = cyand, tmp_path
        self.names = ["garage", "kitchen", "attic"]
        self.swarm = new_swarm(cyand, time_scale=0.1, file=[
            {"id": new_device_id(), "platform": ARGON, "name": name, "defects": {"reboot_s": 1, **(defects or {}).get(name, {})}}
            for name in self.names])
        self.swarm.wait_connected(3)
        self.url = f"http://127.0.0.1:{cyand.http_port}"
        self.ana = Ctl(tmp_path / "ana", self.url, cyand.create_token("operator", "ana"))
        self.ben = Ctl(tmp_path / "ben", self.url, cyand.create_token("operator", "ben"))
        rest = cyand.rest()
        wait_until(lambda: all(rest.ok("GET", f"/v1/devices/{name}/modules")["modules"] for name in self.names),
                   "all have told what they run")

    def file(self, name, *what, **how):
        path = self.folder / name
        path.write_bytes(firmware.module(ARGON, *what, **how))
        return path

    def version(self, name, letter="u"):
        return next(m["version"] for m in self.ana.json("device", "show", name)["modules"] if m["f"] == letter)

    def publish(self, release="r1", version=77, **how):
        self.ana.ok("firmware", "upload", self.file(f"{release}.bin", "u", 1, version=version, size=8000, **how))
        newest = self.ana.json("firmware", "list")["firmware"][0]
        assert newest["version"] == version
        self.ana.ok("release", "create", release, "--target", newest["id"])
        self.ana.ok("release", "publish", release)

    def start(self, name, *stages, release="r1"):
        self.ana.ok("campaign", "create", name, "--release", release, "--platform", "argon",
                    *[word for stage in stages for word in ("--stage", stage)])
        self.ana.ok("campaign", "plan", name)
        self.ana.ok("campaign", "submit", name)
        self.ben.ok("campaign", "approve", name)
        self.ana.ok("campaign", "start", name)


@pytest.fixture
def fleet(new_cyand, new_swarm, tmp_path):
    return Fleet(new_cyand(**SETTINGS), new_swarm, tmp_path)


def test_firmware_goes_up_and_comes_back(fleet):
    ana, app = fleet.ana, fleet.file("app.bin", "u", 1, version=77, needs=[("s", 1, 1000)], size=20_000)
    ncp = fleet.file("ncp.bin", "c", 0, version=9, size=300_000)
    assert "app.bin: firmware 1, Argon user part 1 77\n" in ana.ok("firmware", "upload", app, ncp)
    assert "which was there already" in ana.ok("firmware", "upload", app)
    listed = ana.json("firmware", "list", "--platform", "argon")["firmware"]
    assert sorted((row["function"], row["version"]) for row in listed) == [("c", 9), ("u", 77)]
    assert [row["file_name"] for row in ana.json("firmware", "list", "--function", "c")["firmware"]] == ["ncp.bin"]
    assert "needs     system part 1 1000" in ana.ok("firmware", "show", 1)
    inspected, stored = ana.json("firmware", "inspect", app)[0], ana.json("firmware", "show", 1)["firmware"]
    for field in ("platform_id", "platform", "function", "index", "mcu", "version", "suffix_sha256", "flags", "dependencies"):
        assert inspected["parts"][0][field] == stored[field], field
    assert (inspected["sha256"], inspected["size_bytes"]) == (stored["sha256"], stored["size_bytes"])

    back = fleet.folder / "back.bin"
    assert ana.ok("firmware", "download", 1, "--output", back) == f"{back}\n"
    assert back.read_bytes() == app.read_bytes()
    ana.refused(USAGE, "firmware", "download", 1, "--output", back, says="--force")
    ana.ok("firmware", "download", 1, "--output", back, "--force", "--quiet")
    ana.refused(NOT_FOUND, "firmware", "download", 99, "--output", fleet.folder / "none.bin")
    ana.refused(USAGE, "firmware", "download", 1, "--output", fleet.folder / "no" / "folder.bin", says="No such file")
    assert not list(fleet.folder.glob("*.bin.*")) and not (fleet.folder / "none.bin").exists()

    ana.refused(USAGE, "firmware", "withdraw", 1, says="--reason")
    ana.ok("firmware", "withdraw", 1, "--reason", "wrong board")
    assert ana.json("firmware", "show", 1)["firmware"]["withdrawn_reason"] == "wrong board"


def test_what_is_no_firmware_is_refused(fleet):
    bad, large, empty = (fleet.folder / name for name in ("bad.bin", "large.bin", "empty.bin"))
    bad.write_bytes(b"not a module" * 1000)
    with large.open("wb") as file:
        file.truncate(3 << 20)
    empty.write_bytes(b"")
    fleet.ana.refused(REFUSED, "firmware", "upload", bad, says="refused")
    fleet.ana.refused(USAGE, "firmware", "upload", large, says="large.bin")
    fleet.ana.refused(USAGE, "firmware", "upload", empty, says="empty")
    fleet.ana.refused(USAGE, "firmware", "upload", fleet.folder, says="not a file")
    mixed = fleet.ana("firmware", "upload", bad, fleet.file("good.bin", "u", 1, version=5))
    assert mixed.returncode == REFUSED and "good.bin: firmware 1" in mixed.stdout, "one bad file keeps no other back"
    owner = Ctl(fleet.folder / "cleo", fleet.url, fleet.cyand.create_token("owner", "cleo"))
    owner.refused(REFUSED, "firmware", "list", says="role operator")


def test_plans_are_told_in_sentences(fleet):
    ana = fleet.ana
    fleet.publish(version=77)
    shown = ana.ok("device", "explain", "garage", "r1")
    assert "To get to r1, in this order" in shown and f"user part 1: {fleet.version('garage')} to 77" in shown
    assert "because:" in shown and "It runs: bootloader" in shown
    plan = ana.json("device", "explain", "garage", "r1")["plan"]
    assert plan["outcome"] == "steps" and plan["steps"][0]["to_version"] == 77
    ana.refused(NOT_FOUND, "device", "explain", "garage", "r9", says="r9")
    ana.refused(NOT_FOUND, "device", "explain", "cellar", "r1", says="Device not found")

    fleet.publish("r2", version=90, needs=[("s", 1, 7000)])
    blocked = ana("device", "explain", "garage", "r2")
    assert blocked.returncode == REFUSED and blocked.stderr == "", blocked
    assert "Blocked: no_path" in blocked.stdout and "unblock" in blocked.stdout and "7000" in blocked.stdout

    what = ana.json("what-if", "r1", "--all")["what_if"]
    assert what["devices"] == 3 and what["by_outcome"]["steps"] == 3
    assert ana.ok("what-if", "r1", "--name", "gar*").startswith("1 devices:")
    assert ana.json("what-if", "r1", "--device", "kitchen", "--device", "attic")["what_if"]["devices"] == 2
    assert ana.json("what-if", "r1", "--below", "u1:78")["what_if"]["devices"] == 3
    ana.refused(USAGE, "what-if", "r1", says="--all")
    ana.refused(USAGE, "what-if", "r1", "--below", "x9:1", says="s1:3100")
    ana.refused(USAGE, "what-if", "r1", "--platform", "toaster", says="toaster")


def test_rules_are_changed_at_the_rev_that_was_seen(fleet):
    ana = fleet.ana
    first = ana.json("rule", "list")["rules"][0]
    assert first["code"] in ana.ok("rule", "list")
    ana.ok("rule", "set", first["code"], "--disable", "--reason", "to see")
    now = next(rule for rule in ana.json("rule", "list")["rules"] if rule["code"] == first["code"])
    assert now["enabled"] is False and now["body"] == first["body"] and now["rev"] == first["rev"] + 1
    ana.refused(CONFLICT, "rule", "set", first["code"], "--enable", "--rev", first["rev"], says=f"rev is {now['rev']} now")
    ana.refused(NOT_FOUND, "rule", "set", "none-such", "--enable", says="none-such")
    ana.refused(USAGE, "rule", "set", first["code"], "--enable", "--disable")
    assert "Nothing was changed" in ana.ok("rule", "test", first["code"])
    rule = fleet.folder / "rule.json"
    rule.write_text(json.dumps({key: first[key] for key in ("platform_id", "kind", "body")}))
    ana.ok("rule", "add", rule, "--code", "mine", "--explain", "So it is.", "--evidence", "seen")
    assert any(one["code"] == "mine" for one in ana.json("rule", "list")["rules"])
    rule.write_text("{")
    ana.refused(USAGE, "rule", "add", rule, says="not JSON")
    rule.write_text("[]")
    ana.refused(USAGE, "rule", "add", rule, says="no rule")


def test_a_release_is_named_and_final(fleet):
    ana = fleet.ana
    ana.ok("firmware", "upload", fleet.file("a.bin", "u", 1, version=7), fleet.file("b.bin", "b", 0, version=3200))
    drafted = ana.ok("release", "create", "r1", "--target", 1, "--stepping-stone", 2, "--notes", "first")
    assert "draft" in drafted and "stepping stone" in drafted
    ana.refused(USAGE, "release", "create", "r2", "--target", "app.bin", says="firmware list")
    ana.refused(CONFLICT, "release", "create", "r1", "--target", 1)
    ana.ok("release", "publish", "r1")
    assert [row["name"] for row in ana.json("release", "list")["releases"]] == ["r1"]
    assert ana.json("release", "show", 1) == ana.json("release", "show", "r1")
    ana.ok("release", "withdraw", "r1", "--reason", "wrong bootloader")
    assert "Withdrawn: wrong bootloader" in ana.ok("release", "show", "r1")
    ana.refused(NOT_FOUND, "release", "show", "none", says="Release not found")


def test_one_device_is_flashed_and_watched(fleet):
    app = fleet.file("app.bin", "u", 1, version=77, size=8000)
    done = fleet.ana("device", "flash", "garage", app, "--wait")
    assert done.returncode == OK and "garage: succeeded" in done.stdout, done
    assert fleet.version("garage") == 77, "it has told so itself"
    assert "succeeded" in fleet.ana.ok("device", "updates", "garage")
    changed = fleet.ana.json("device", "history", "garage")[0]
    assert (changed["f"], changed["new_version"]) == ("u", 77)
    fleet.ana.refused(NOT_FOUND, "device", "flash", "cellar", app, says="Device not found")
    fleet.ana.refused(NOT_FOUND, "device", "cancel", "garage", says="no update")


def test_a_campaign_from_draft_to_done(fleet):
    ana, ben = fleet.ana, fleet.ben
    fleet.publish()
    made = ana.ok("campaign", "create", "winter", "--release", "r1", "--platform", "argon", "--stage",
                  "canary:1,soak=0s,min=1,small-canary", "--stage", "all:100%,soak=0s,min=1,small-canary", "--transfers", 5)
    assert "draft" in made and "platform Argon" in made
    ana.refused(CONFLICT, "campaign", "create", "winter", "--release", "r1", "--all", says="name")
    ana.refused(USAGE, "campaign", "create", "w2", "--release", "r1", says="--all")
    ana.refused(USAGE, "campaign", "create", "w2", "--all", says="--release")
    ana.refused(USAGE, "campaign", "create", "w2", "--release", "r1", "--all", "--stage", "canary", says="canary:5%")
    planned = ana.ok("campaign", "plan", "winter")
    assert "3 devices" in planned and "prove" in planned
    ana.ok("campaign", "submit", "winter")
    ana.refused(REFUSED, "campaign", "approve", "winter", says="somebody else")
    ben.ok("campaign", "approve", 1)
    rev = ana.json("campaign", "show", "winter")["campaign"]["rev"]
    ana.refused(CONFLICT, "campaign", "start", "winter", "--rev", 0, says=f"rev is {rev} now")
    ana.ok("campaign", "start", "winter", "--rev", rev)
    watched = ana("campaign", "watch", "winter", timeout_s=120)
    assert watched.returncode == OK, watched
    assert "winter is completed: 3 updated" in watched.stdout and "stage canary" in watched.stdout
    assert [fleet.version(name) for name in fleet.names] == [77, 77, 77]
    assert [row["state"] for row in ana.json("campaign", "devices", "winter")["devices"]] == ["succeeded"] * 3
    rows = list(csv.DictReader(ana.ok("campaign", "export", "winter").splitlines()))
    assert {row["name"] for row in rows} == set(fleet.names) and {row["state"] for row in rows} == {"succeeded"}
    file = fleet.folder / "winter.jsonl"
    ana.ok("campaign", "export", "winter", "--format", "jsonl", "--output", file)
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 3
    assert "completed" in ana.ok("campaign", "list", "--state", "completed")
    ana.ok("campaign", "archive", "winter")
    assert ana.json("campaign", "list")["campaigns"] == []
    ana.refused(NOT_FOUND, "campaign", "show", "spring", says="no such campaign")


@pytest.mark.long
def test_a_campaign_that_goes_wrong_ends_the_watch_badly(new_cyand, new_swarm, tmp_path):
    """Devices that say they took it and did not."""
    fleet = Fleet(new_cyand(**SETTINGS), new_swarm, tmp_path, {name: {"lie": True} for name in ("garage", "kitchen", "attic")})
    fleet.publish()
    fleet.start("winter", "all:100%,soak=0s,min=1,small-canary")
    watched = fleet.ana("campaign", "watch", "winter", timeout_s=400)
    assert watched.returncode == ENDED_BADLY, watched
    assert "winter is aborted" in watched.stdout and "campaign devices winter" in watched.stderr
    failed = fleet.ana.json("campaign", "devices", "winter", "--state", "failed")["devices"]
    assert failed and all(row["reason"] == "no_effect" for row in failed)


def test_orders_reach_the_campaign_and_its_stages(fleet):
    ana = fleet.ana
    fleet.publish()
    fleet.start("winter", "canary:1,soak=7d,min=1", "all:100%")
    assert "paused" in ana.ok("campaign", "pause", "winter", "--reason", "fair")
    assert fleet.cyand.query("SELECT reason FROM audit WHERE action = 'campaign.pause'") == [["fair"]]
    ana.refused(CONFLICT, "campaign", "pause", "winter", says="paused")
    ana.ok("campaign", "resume", "winter")
    ana.refused(NOT_FOUND, "campaign", "stage", "skip", "winter", "third", says=["third", "campaign show"])
    ana.refused(CONFLICT, "campaign", "stage", "resume", "winter", "all", says="pending")
    # which one is the canary follows from the devices' ids; it may have begun by now
    second = ana.json("campaign", "show", "winter")["campaign"]["stages"][1]["n"]
    late = next(row["name"] for row in ana.json("campaign", "devices", "winter")["devices"] if row["stage"] == second)
    ana.ok("campaign", "exclude", "winter", late)
    unknown = ana("campaign", "exclude", "winter", "cellar", "kitchen")
    assert unknown.returncode == NOT_FOUND and "nobody was excluded" in unknown.stderr
    assert ana.json("campaign", "devices", "winter", "--state", "excluded")["devices"][0]["name"] == late
    ana.ok("campaign", "retry", "winter", "--for", "no_effect")
    ana.ok("campaign", "abort", "winter", "--reason", "enough")
    assert ana("campaign", "watch", "winter", timeout_s=60).returncode == ENDED_BADLY


def test_a_watch_outlasts_the_server_and_leaves_with_ctrl_c(fleet):
    fleet.publish()
    fleet.start("winter", "canary:1,soak=7d,min=1", "all:100%")
    watch = fleet.ana.start("campaign", "watch", "winter")
    try:
        assert "winter: running" in watch.stdout.readline()
        fleet.cyand.stop()
        assert "goes on" in watch.stderr.readline()
        fleet.cyand.settings["http_port"] = fleet.cyand.http_port
        fleet.cyand.start()
        assert "there again" in watch.stderr.readline()
        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=30)
        assert watch.returncode == 130 and "The campaign goes on" in err, (out, err)
    finally:
        watch.kill()
    assert fleet.ana.json("campaign", "show", "winter")["campaign"]["state"] == "running"


def test_a_watch_is_a_picture_on_a_terminal(fleet):
    fleet.publish()
    fleet.start("winter", "canary:1,soak=0s,min=1,small-canary", "all:100%,soak=0s,min=1,small-canary")
    code, seen = fleet.ana.at_terminal("campaign", "watch", "winter", columns=100, deadline_s=120)
    assert code == OK, seen
    assert "\x1b[J" in seen and "\u2588" in seen and "100 %" in seen and "winter is completed" in seen
