"""How a device would get to a release, in sentences; rules tried before they are changed; questions that write nothing."""

from harness.firmware import ARGON, CORE, module
from harness.keys import new_device_id
from harness.waiting import wait_until


def binary(cyand, platform, function, index, version, needs=(), size=4096):
    """Uploads a module binary; returns its id."""
    answer = cyand.rest().upload("/v1/firmware", module(platform, function, index, version, needs=needs, size=size))
    assert answer.status == 201, answer
    return answer.json["firmware"]["id"]


def release(cyand, name, targets, stones=()):
    rest = cyand.rest()
    made = rest.post("/v1/releases", {"name": name, "targets": targets, "stepping_stones": list(stones)})
    assert made.status == 201, made
    published = rest.post(f"/v1/releases/{name}/publish")
    assert published.status == 200, published


def argon_release(cyand, name="2026.11"):
    stone = binary(cyand, ARGON, "s", 1, 2302, [("b", 0, 1005)], size=100000)
    targets = [
        binary(cyand, ARGON, "b", 0, 3100, [("s", 1, 2302)], size=40000),
        binary(cyand, ARGON, "a", 0, 202, [("s", 1, 1512)]),
        binary(cyand, ARGON, "s", 1, 6200, [("b", 0, 3100), ("a", 0, 202)], size=600000),
        binary(cyand, ARGON, "c", 0, 5, size=829248),
    ]
    release(cyand, name, targets, [stone])
    return {"stone": stone, "b": targets[0], "a": targets[1], "s": targets[2], "c": targets[3]}


def argon(cyand, new_swarm, system, ncp, bootloader=1200, radio=202, **more):
    device = new_device_id()
    modules = [{"f": "b", "n": "0", "v": bootloader}, {"f": "s", "n": "1", "v": system}, {"f": "a", "n": "0", "v": radio},
               {"f": "c", "n": "0", "v": ncp}]
    swarm = new_swarm(cyand, file=[{"id": device, "platform": 12, "system_version": system, "modules": modules, **more}])
    swarm.wait_connected(1)
    wait_until(lambda: cyand.rest().ok("GET", f"/v1/devices/{device}/modules")["modules"], "its modules are known")
    return device


def cut_off(cyand, device):
    """Its system is now one that cannot speak with NCP 3. Such a device never says so itself; here it is known all the same."""
    cyand.query(f"""UPDATE device_module SET version = 3103, last_known = 3103
                    WHERE device_id = '\\x{device}' AND store = 0 AND func = 4""")
    cyand.query(f"SELECT refresh_class('\\x{device}')")


def plan(cyand, device, name="2026.11"):
    return cyand.rest().ok("GET", f"/v1/devices/{device}/update_plan?release={name}")["plan"]


def audited(cyand):
    return int(cyand.query("SELECT count(*) FROM audit")[0][0])


def test_an_old_argon_gets_stepping_stones_and_reasons(cyand, new_swarm):
    modules = argon_release(cyand)
    device = argon(cyand, new_swarm, system=1512, ncp=3)
    found = plan(cyand, device)
    assert found["device_id"] == device and found["release"]["name"] == "2026.11"
    assert found["outcome"] == "steps" and found["reason"] is None
    assert [step["module_id"] for step in found["steps"]] == [modules["stone"], modules["b"], modules["c"], modules["s"]]
    assert [(step["function"], step["index"], step["from_version"], step["to_version"]) for step in found["steps"]] == [
        ("s", 1, 1512, 2302), ("b", 0, 1200, 3100), ("c", 0, 3, 5), ("s", 1, 2302, 6200)]
    assert found["bytes"] == 100000 + 40000 + 829248 + 600000
    assert found["runs"] == [{"f": "b", "n": 0, "v": 1200}, {"f": "s", "n": 1, "v": 1512}, {"f": "c", "n": 0, "v": 3},
                             {"f": "a", "n": 0, "v": 202}]
    because = [sentence for step in found["steps"] for sentence in step["because"]]
    assert "bootloader 3100 is needed by system 6200 (its header asks for bootloader >= 3100)" in because
    assert any(s.startswith("bootloader 3100 is preferred before NCP 5 by rule argon-bootloader-before-ncp") for s in because)
    assert any(s.startswith("NCP 5 has to come before system 6200 by rule argon-ncp-3-cannot-connect") for s in because)
    assert found["uncertain"] == [] and found["unblock"] == [] and found["local_recipe"] == []
    # the number of the release does as well
    number = cyand.query("SELECT id FROM release")[0][0]
    assert plan(cyand, device, number) == found


def test_an_argon_that_cannot_connect_gets_the_recipe(cyand, new_swarm):
    argon_release(cyand)
    device = argon(cyand, new_swarm, system=2302, ncp=3, bootloader=1100, radio=112)
    cut_off(cyand, device)
    found = plan(cyand, device)
    assert (found["outcome"], found["reason"], found["steps"]) == ("blocked", "unreachable_version", [])
    assert found["sentence"].startswith(
        "This Argon cannot connect with NCP 3 under system 3103, so nothing can be sent to it over the air: ")
    assert "Failed to write into data channel" in found["sentence"]
    assert found["sentence"].endswith("Locally over USB: 1. bootloader 3100 2. soft device 202 3. system 6200 4. NCP 5")
    assert found["local_recipe"] == ["bootloader 3100", "soft device 202", "system 6200", "NCP 5"]
    assert found["unblock"] == ["Somebody with a USB cable has to update it, in the order of the recipe."]


def test_questions_that_cannot_be_answered(cyand, new_swarm):
    argon_release(cyand)
    device = argon(cyand, new_swarm, system=2302, ncp=3)
    rest = cyand.rest()
    assert rest.get(f"/v1/devices/{device}/update_plan").status == 400
    answer = rest.get(f"/v1/devices/{device}/update_plan?release=2027.01")
    assert (answer.status, answer.json["error"]) == (404, "There is no release 2027.01.")
    assert rest.get(f"/v1/devices/{new_device_id()}/update_plan?release=2026.11").status == 404
    stranger = cyand.rest(role="owner", user="somebody")
    assert stranger.get(f"/v1/devices/{device}/update_plan?release=2026.11").status == 403
    assert rest.post("/v1/releases/2026.11/withdraw", {"reason": "a mistake"}).status == 200
    answer = rest.get(f"/v1/devices/{device}/update_plan?release=2026.11")
    assert (answer.status, answer.json["error"]) == (409, "Release 2026.11 was withdrawn.")


def test_a_withdrawn_binary_is_seen_at_once(cyand, new_swarm):
    modules = argon_release(cyand)
    device = argon(cyand, new_swarm, system=1512, ncp=3)
    assert plan(cyand, device)["outcome"] == "steps"
    assert cyand.rest().post(f"/v1/firmware/{modules['stone']}/withdraw", {"reason": "bricks"}).status == 200
    found = plan(cyand, device)
    assert (found["outcome"], found["reason"]) == ("blocked", "module_withdrawn")
    assert found["sentence"] == "The way to release 2026.11 needs system 2302, which was withdrawn."


def test_a_rule_is_tried_then_changed(cyand, new_swarm):
    argon_release(cyand)
    device = argon(cyand, new_swarm, system=2302, ncp=3, bootloader=3100)
    rest = cyand.rest()
    before = audited(cyand)

    rule = {"code": "argon-no-6200", "platform_id": 12, "kind": "forbids", "explain": "Not to 6200 yet.",
            "evidence": "A test.", "body": {"has": {"module": "s", "index": 1, "below": 6200},
                                            "step": {"module": "s", "index": 1, "from": 6200}}}
    created = rest.post("/v1/rules", rule)
    assert created.status == 201 and created.json["rule"]["rev"] == 1, created
    assert rest.post("/v1/rules", rule).status == 409
    found = plan(cyand, device)
    assert (found["outcome"], found["reason"]) == ("blocked", "no_path")
    assert "It would go without rule argon-no-6200: Not to 6200 yet." in found["unblock"]

    # what it would be like if it were about older ones only; nothing is changed by asking
    tried = rest.ok("POST", "/v1/rules/argon-no-6200/test", {"body": {
        "has": {"module": "s", "index": 1, "below": 2000}, "step": {"module": "s", "index": 1, "from": 6200}}})
    assert tried["devices"] == 0 and tried["classes"] == []
    tried = rest.ok("POST", "/v1/rules/argon-no-6200/test")
    assert tried["devices"] == 1
    (touched,) = tried["classes"]
    assert touched["devices"] == 1 and touched["platform_id"] == 12
    assert touched["effect"] == "With system 2302 it does not get such a step."
    assert rest.ok("GET", "/v1/rules")["rules"] and plan(cyand, device)["reason"] == "no_path"

    changed = rest.put("/v1/rules/argon-no-6200", {"rev": 1, "enabled": False, "reason": "6200 is fine"})
    assert changed.status == 200 and changed.json["rule"]["rev"] == 2, changed
    assert plan(cyand, device)["outcome"] == "steps"
    stale = rest.put("/v1/rules/argon-no-6200", {"rev": 1, "enabled": True})
    assert stale.status == 409 and stale.json["rev"] == 2, stale
    assert stale.json["rule"]["enabled"] is False
    rows = cyand.query("SELECT action, reason FROM audit WHERE target = 'argon-no-6200' ORDER BY id")
    assert rows == [["rule.create", ""], ["rule.change", "6200 is fine"]]
    assert audited(cyand) == before + 2


def test_bad_rules_are_refused_in_a_sentence(cyand):
    rest = cyand.rest()
    rule = {"code": "bad", "platform_id": 12, "kind": "unreachable", "explain": "E.", "evidence": "E.",
            "body": {"all": [{"module": "c", "below": 4, "version": 3}]}}
    for change, sentence in [
        ({}, "`all` has a key `version` that means nothing there; known are: module index from below is."),
        ({"kind": "perhaps"}, "kind must be one of requires, forbids, must_pass_through, unreachable, prefers, collateral, "
                              "deep_update_needed."),
        ({"body": []}, "body must be an object."),
        ({"platform_id": -1}, "platform_id must be a number from 0 to 65535."),
        ({"explain": ""}, "`explain` must be a sentence of 1 to 500 bytes."),
        ({"code": "No spaces"}, "`code` must be 1 to 64 small letters, digits, dots and dashes."),
    ]:
        answer = rest.post("/v1/rules", {**rule, **change})
        assert (answer.status, answer.json["error"]) == (400, sentence)
    assert rest.put("/v1/rules/nobody", {"rev": 1}).status == 404
    assert rest.put("/v1/rules/argon-ncp-5", {}).status == 400
    assert cyand.rest(role="owner", user="olive").get("/v1/rules").status == 403


def test_the_rule_for_deep_updates_is_tried_too(cyand, new_swarm):
    argon(cyand, new_swarm, system=2302, ncp=5)
    rest = cyand.rest()
    assert rest.ok("POST", "/v1/rules/argon-ncp-5/test")["devices"] == 0
    tried = rest.ok("POST", "/v1/rules/argon-ncp-5/test", {"body": {"module": "c", "index": 0, "below": 6}})
    assert tried["devices"] == 1 and tried["classes"][0]["effect"] == "It needs a deep update."
    assert rest.devices(requires_deep_update="true") == []


def test_what_if_writes_nothing(cyand, new_swarm):
    argon_release(cyand)
    argon(cyand, new_swarm, system=1512, ncp=3)
    cut_off(cyand, argon(cyand, new_swarm, system=2302, ncp=3, bootloader=1100))
    argon(cyand, new_swarm, system=6200, ncp=5, bootloader=3100)
    rest = cyand.rest()
    rules, audit = rest.ok("GET", "/v1/rules"), audited(cyand)

    answer = rest.ok("POST", "/v1/what_if", {"release": "2026.11", "selector": {"platform_id": 12}})["what_if"]
    assert answer["devices"] == 3
    assert answer["by_outcome"] == {"current": 1, "steps": 1, "blocked": 1}
    assert answer["blocked"] == {"unreachable_version": 1}
    assert answer["bytes"] == 100000 + 40000 + 829248 + 600000
    assert sorted(c["outcome"] for c in answer["classes"]) == ["blocked", "current", "steps"]
    assert sum(c["devices"] for c in answer["classes"]) == 3

    # without the rule the one that cannot connect would have a plan: somebody may doubt the rule
    rule = {"code": "argon-ncp-3-cannot-connect", "enabled": False}
    doubted = rest.ok("POST", "/v1/what_if", {"release": "2026.11", "selector": {"all": True}, "rules": [rule]})["what_if"]
    assert doubted["blocked"] == {} and doubted["by_outcome"]["steps"] == 2
    bad = rest.post("/v1/what_if", {"release": "2026.11", "selector": {"all": True}, "rules": [
        {"code": "new", "platform_id": 12, "kind": "requires", "explain": "E.", "evidence": "E.", "body": {}}]})
    assert (bad.status, bad.json["error"].split(":")[0]) == (400, "Rule new")
    assert rest.ok("GET", "/v1/rules") == rules and audited(cyand) == audit


def test_selectors(cyand, new_swarm):
    argon_release(cyand)
    old = argon(cyand, new_swarm, system=1512, ncp=3, name="kitchen-1")
    new = argon(cyand, new_swarm, system=6200, ncp=5, bootloader=3100, name="hall_1")
    rest = cyand.rest()

    def selected(selector):
        answer = rest.ok("POST", "/v1/what_if", {"release": "2026.11", "selector": selector})["what_if"]
        return {"0": [], "1": ["old"] if answer["by_outcome"]["steps"] else ["new"], "2": ["old", "new"]}[str(answer["devices"])]

    assert selected({"all": True}) == ["old", "new"]
    assert selected({"platform_id": [12, 13]}) == ["old", "new"]
    assert selected({"platform_id": 13}) == []
    assert selected({"requires_deep_update": True}) == ["old"]
    assert selected({"devices": [new.upper()]}) == ["new"]
    assert selected({"devices": [old, new], "names": ["kitchen*"]}) == ["old"]
    assert selected({"names": ["hall_1"]}) == ["new"]
    assert selected({"names": ["hall*", "kitchen-1"]}) == ["old", "new"]
    assert selected({"versions": [{"f": "s", "n": 1, "below": 3100}]}) == ["old"]
    assert selected({"versions": [{"f": "s", "n": 1, "below": 3100}, {"f": "b", "below": 1000}]}) == []
    for selector, sentence in [
        ({}, "The selector is empty; {\"all\": true} selects every device."),
        (None, "`selector` must be an object, as in {\"platform_id\": 12}."),
        ({"platform": 12}, "The selector has a key `platform` that means nothing; known are platform_id, product_id, "
                           "requires_deep_update, devices, names, versions and all."),
        ({"all": False}, "`all` of the selector must be true, or left out."),
        ({"devices": ["kitchen-1"]}, "`devices` of the selector: number 1 is no device id, which has 24 hex digits."),
        ({"names": ["a' OR true --"]}, "`names` of the selector: number 1 is no name of letters, digits, `_` and `-`, with a "
                                       "`*` at its end for all that begin so."),
        ({"versions": [{"f": "s", "n": 1}]}, "`below` in `versions` of the selector must be a number from 1 to 65535."),
    ]:
        answer = rest.post("/v1/what_if", {"release": "2026.11", "selector": selector})
        assert (answer.status, answer.json["error"]) == (400, sentence)


def test_a_core_is_planned_by_its_patch(cyand, new_swarm):
    core = new_device_id()
    new_swarm(cyand, file=[{"id": core, "platform": 0, "cc3000": "1.23"}]).wait_connected(1)
    release(cyand, "july-2014", [binary(cyand, CORE, "r", 0, 128)])
    wait_until(lambda: cyand.rest().device(core).get("cc3000_patch_version"), "its patch is known")
    found = plan(cyand, core, "july-2014")
    assert found["outcome"] == "steps", found
    assert found["sentence"] == "1 step to release july-2014: CC3000 patch 1.28."
