"""Events go to people's servers: what is sent, at least once whatever dies, and never into closed networks."""

import json
import time

import pytest

from harness.keys import Key, new_device_id
from harness.target import Target
from harness.waiting import hold_for, wait_until

BORON = 13
OPEN = {"webhook_allow_private": "yes", "webhook_backoff_s": 1}


@pytest.fixture
def new_target():
    made = []

    def make(host="127.0.0.1", **options):
        made.append(Target(host, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def target(new_target):
    return new_target()


@pytest.fixture
def server(new_cyand):
    return new_cyand(**OPEN)


@pytest.fixture
def joe(server):
    return server.rest("owner", "joe")


def create(rest, path="/v1/webhooks", **fields):
    answer = rest.post(path, fields)
    assert answer.status == 201, answer
    assert answer.json["ok"] is True and answer.json["id"] and answer.json["created_at"].endswith("Z")
    return answer.json


def publish(rest, name, data):
    assert rest.ok("POST", "/v1/devices/events", {"name": name, "data": data}) == {"ok": True}


def detail(rest, hook):
    return rest.ok("GET", f"/v1/integrations/{hook['id']}")["integration"]


def wait_count(target, count, deadline_s=30):
    wait_until(lambda: len(target.all()) >= count, lambda: f"{count} requests came, {len(target.all())} did", deadline_s)
    return target.all()


def wait_delivered(rest, hook, count, deadline_s=60):
    wait_until(lambda: detail(rest, hook)["counters"]["delivered"] >= count, lambda: f"{count} delivered: {detail(rest, hook)}",
               deadline_s)


# --- what is sent ---

def test_a_device_publishes_and_a_server_hears(server, joe, target, new_swarm):
    device = {"id": new_device_id(), "platform": BORON, "system_version": 6200}
    swarm = new_swarm(server, file=[device]).wait_connected(1)
    joe.ok("POST", "/v1/devices", {"id": device["id"]})
    mine = create(joe, event="temp", url=target.url("/heard"))
    create(server.rest("owner", "ann"), event="temp", url=target.url("/foreign"))
    create(joe, event="temperature/in", url=target.url("/longer"))
    create(joe, event="temp", url=target.url("/one"), deviceID=device["id"])
    swarm.publish(device["id"], "temperature", "21.5")

    wait_count(target, 2)
    hold_for(1)
    assert target.times_by(lambda r: r.path) == {"/heard": 1, "/one": 1}
    heard = next(r for r in target.all() if r.path == "/heard")
    assert heard.method == "POST" and heard.headers["Content-Type"] == "application/x-www-form-urlencoded"
    published_at = heard.form.pop("published_at")
    assert {k: v for k, v in heard.form.items() if k != "published_at"} == {
        "event": "temperature", "data": "21.5", "coreid": device["id"]} and published_at.endswith("Z")
    assert heard.is_signed_with(mine["secret"]) and not heard.is_signed_with("x" * 64)
    assert heard.headers["X-Cyan-Attempt"] == "1"
    wait_delivered(joe, mine, 1)
    last = detail(joe, mine)["logs"][0]
    assert (last["state"], last["status"], last["attempts"], last["deviceID"]) == ("delivered", 200, 1, device["id"])
    assert last["delivery"] == heard.delivery


def test_every_kind_of_body(joe, target):
    data = '{"temp":21.5,"where":{"room":"kitchen & bath"},"list":[1,2]}'
    common = {"event": "room", "headers": {"X-Key": "k {{where.room}}", "Content-Language": "en"}}
    create(joe, url=target.url("/json"), **common, json={"t": "{{temp}}", "raw": "{{{PARTICLE_EVENT_VALUE}}}", "n": 3})
    create(joe, url=target.url("/bare"), **common, json={"room": "{{{where.room}}}"}, noDefaults=True)
    create(joe, url=target.url("/text"), **common, json='{"t": {{temp}}, "l": {{list}}}')
    create(joe, url=target.url("/form"), **common, form={"room": "{{{where.room}}}", "n": 1}, noDefaults=True, requestType="put")
    create(joe, url=target.url("/body"), **common, body="{{where.room}} {{nothing}}{{SPARK_CORE_ID}}")
    create(joe, url=target.url("/get/{{where.room}}?a=b"), **common, requestType="GET", query={"q": "{{temp}}"},
           auth={"username": "joe", "password": "pass:word"})
    publish(joe, "room", data)

    sent = {r.path: r for r in wait_count(target, 6)}
    assert sent["/json"].json["t"] == "21.5" and sent["/json"].json["raw"] == data and sent["/json"].json["n"] == 3
    assert sent["/json"].json["event"] == "room" and sent["/json"].json["coreid"] == "api"
    assert sent["/json"].headers["X-Key"] == "k kitchen &amp; bath" and sent["/json"].headers["Content-Language"] == "en"
    assert sent["/json"].headers["Content-Type"] == "application/json"
    assert sent["/bare"].json == {"room": "kitchen & bath"}
    assert sent["/text"].json == {"t": 21.5, "l": [1, 2]}
    assert sent["/form"].method == "PUT" and sent["/form"].form == {"room": "kitchen & bath", "n": "1"}
    assert sent["/body"].text == "kitchen &amp; bath api"
    got = sent["/get/kitchen%20%26%20bath"]
    assert got.method == "GET" and got.body == b"" and got.query["a"] == "b" and got.query["q"] == "21.5"
    assert got.query["event"] == "room" and got.query["data"] == data and got.basic == "joe:pass:word"


def test_made_by_a_form(joe, target):
    answer = joe.post("/v1/webhooks", form={"event": "e", "url": target.url(), "json": '{"v": "{{PARTICLE_EVENT_VALUE}}"}',
                                            "headers": '{"X-A": "b"}', "noDefaults": "true", "rejectUnauthorized": "false"})
    assert answer.status == 201, answer
    publish(joe, "e", "7")
    request = wait_count(target, 1)[0]
    assert request.json == {"v": "7"} and request.headers["X-A"] == "b"


def test_no_event_writes_a_header_or_a_host(joe, target):
    create(joe, event="evil", url=target.url("/x?v={{{PARTICLE_EVENT_VALUE}}}"), headers={"X-Said": "{{{PARTICLE_EVENT_VALUE}}}"},
           body="b")
    publish(joe, "evil", "a\r\nX-Cyan-Signature: forged\r\n\r\n#&?/@h")
    request = wait_count(target, 1)[0]
    assert request.headers["X-Said"] == "a  X-Cyan-Signature: forged    #&?/@h"
    assert len(request.headers.get_all("X-Cyan-Signature")) == 1 and request.query == {
        "v": "a\r\nX-Cyan-Signature: forged\r\n\r\n#&?/@h"}


def test_what_is_wrong_is_said(joe, target):
    good = {"event": "e", "url": target.url()}
    for wrong, says in [({"event": ""}, "event"), ({"event": "x" * 65}, "event"), ({"url": None}, "url"),
                        ({"url": "ftp://example.com/"}, "url"), ({"url": "http://a b/"}, "url"),
                        ({"url": "http://{{x}}.example.com/"}, "url"), ({"url": "http://joe:pw@example.com/"}, "auth"),
                        ({"requestType": "TRACE"}, "requestType"), ({"integration_type": "AzureIoT"}, "Webhook"),
                        ({"json": {}, "form": {}}, "exclude"), ({"requestType": "GET", "body": "x"}, "query"),
                        ({"body": "{{#each}}x{{/each}}"}, "sections"), ({"headers": {"Host": "x"}}, "headers"),
                        ({"headers": {"X-Cyan-Signature": "x"}}, "headers"), ({"auth": {"username": "x"}}, "auth"),
                        ({"event": "hook-response/x"}, "webhook"), ({"noDefaults": "perhaps"}, "noDefaults"),
                        ({"query": [1]}, "query"), ({"headers": {"A": "{{x"}}, "templates"),
                        ({"json": {"a": ["{{x}}"] * 250, "b": {"c": "{{x}}{{y}}"}}, "headers": {"A": "{{x}}" * 5}}, "256")]:
        answer = joe.post("/v1/webhooks", {**good, **wrong})
        assert answer.status == 400 and says.lower() in answer.json["error"].lower(), (wrong, answer)
    assert joe.post("/v1/webhooks", {**good, "deviceID": new_device_id()}).status == 404
    assert joe.get("/v1/webhooks").json == []


def test_secrets_are_shown_once_and_foreign_ones_not_at_all(server, joe, target):
    fields = {"event": "e", "url": target.url(), "headers": {"Authorization": "Bearer s3cret", "Content-Type": "text/x"},
              "auth": {"username": "joe", "password": "pa55"}}
    hook = create(joe, "/v1/integrations", **fields)
    other = create(joe, event="e", url=target.url())
    assert len(hook["secret"]) == 64 and hook["secret"] != other["secret"]
    shown = json.dumps([joe.get("/v1/integrations").json, joe.get("/v1/webhooks").json, detail(joe, hook),
                        server.query("SELECT * FROM webhook"), server.query("SELECT * FROM audit")])
    for secret in (hook["secret"], "s3cret", "pa55"):
        assert secret not in shown and secret not in server.log(10000)
    assert detail(joe, hook)["headers"] == {"Authorization": "********", "Content-Type": "text/x"}
    assert [h["id"] for h in joe.get("/v1/integrations").json] == [hook["id"], other["id"]]

    ann = server.rest("owner", "ann")
    assert ann.get("/v1/webhooks").json == []
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/test"), ("POST", "/disable")]:
        assert ann.request(method, f"/v1/webhooks/{hook['id']}{path}").status == 404
    assert joe.delete(f"/v1/webhooks/{hook['id']}").json == {"ok": True}
    gone = joe.delete(f"/v1/integrations/{other['id']}")
    assert gone.status == 204 and joe.get("/v1/integrations").json == []
    assert joe.delete(f"/v1/integrations/{other['id']}").status == 404 and joe.get("/v1/webhooks/x").status == 404
    actions = [row[0] for row in server.query("SELECT action FROM audit WHERE target LIKE 'webhook/%' ORDER BY id")]
    assert actions == ["webhook.create", "webhook.create", "webhook.delete", "webhook.delete"]


def test_tested_disabled_and_enabled(joe, target):
    hook = create(joe, event="e", url=target.url())
    assert joe.ok("GET", f"/v1/webhooks/{hook['id']}/test") == {"ok": True}
    assert wait_count(target, 1)[0].form["data"] == "test-event"
    assert joe.ok("PUT", f"/v1/integrations/{hook['id']}", {"disabled": True}) == {"ok": True}
    assert joe.get(f"/v1/webhooks/{hook['id']}/test").status == 409
    publish(joe, "e", "unheard")
    assert detail(joe, hook)["disabled"] is True
    assert joe.ok("POST", f"/v1/webhooks/{hook['id']}/enable") == {"ok": True}
    publish(joe, "e", "heard")
    assert wait_count(target, 2)[1].form["data"] == "heard"
    assert joe.put(f"/v1/integrations/{hook['id']}", {"url": "http://example.com"}).status == 400


def test_a_products_devices(server, joe, target, new_swarm):
    """The product's team is the gate's matter; here: which devices' events its webhooks get."""
    devices = [{"id": new_device_id(), "platform": BORON, "system_version": 6200} for _ in range(2)]
    swarm = new_swarm(server, file=devices).wait_connected(2)
    hook = create(joe, event="e", url=target.url())
    server.query("INSERT INTO product (id, slug, name, platform_id) VALUES (1000, 'p', 'p', 13);"
                 f"UPDATE webhook SET product_id = 1000 WHERE id = {hook['id']};"
                 f"UPDATE device SET in_product = 1000 WHERE id = '\\x{devices[0]['id']}'")
    for device in devices:
        swarm.publish(device["id"], "event", "1")
    assert wait_count(target, 1)[0].form["coreid"] == devices[0]["id"]
    own = create(joe, event="e", url=target.url("/own"))
    publish(joe, "e", "of a person")
    wait_count(target, 2)
    server.query("ALTER TABLE event ADD COLUMN IF NOT EXISTS product_id integer;"
                 "INSERT INTO event (key, user_id, product_id, name, data, content_format, ttl_s, is_public, is_system, received_at)"
                 " SELECT substr(sha256('x'), 1, 16), id, 1000, 'e', 'to the product', 0, 60, false, false, now() FROM users"
                 " WHERE name = 'joe'")
    wait_count(target, 3)
    hold_for(1)
    assert [(r.path, r.form["data"]) for r in target.all()[1:]] == [("/own", "of a person"), ("/", "to the product")]
    assert joe.get(f"/v1/webhooks/{hook['id']}").status == 404, "it is the product's, not his"
    assert [h["id"] for h in joe.get("/v1/webhooks").json] == [own["id"]]


# --- answers become events ---

def events_named(server, prefix):
    return server.query("SELECT name, convert_from(data, 'UTF8'), encode(device_id, 'hex') FROM event"
                        f" WHERE starts_with(name, '{prefix}') ORDER BY name")


def test_answers_reach_the_device(server, joe, target, new_swarm):
    device = {"id": new_device_id(), "platform": BORON, "system_version": 6200}
    swarm = new_swarm(server, file=[device]).wait_connected(1)
    joe.ok("POST", "/v1/devices", {"id": device["id"]})
    long = "".join(f"{i:04d}é" for i in range(300))  # 1,800 bytes: four parts, none cut inside a character
    target.answer = lambda r: (200, {}, b'{"got":{"it":"yes"}}' if r.path == "/templ" else
                               long.encode() if r.path == "/long" else b"") if r.path != "/bad" else (404, {}, b"no")
    create(joe, event="ask", url=target.url("/long"))
    create(joe, event="ask", url=target.url("/empty"), responseTopic="empty")
    create(joe, event="ask", url=target.url("/templ"), responseTopic="demo/{{PARTICLE_DEVICE_ID}}",
           responseTemplate="{{got.it}}")
    create(joe, event="ask", url=target.url("/bad"))
    swarm.publish(device["id"], "ask", "1")

    wait_until(lambda: len(events_named(server, "hook-")) == 5, lambda: events_named(server, "hook-"))
    parts = events_named(server, "hook-response/")
    assert [p[0] for p in parts] == [f"hook-response/ask/{i}" for i in range(4)] and {p[2] for p in parts} == {device["id"]}
    assert "".join(p[1] for p in parts) == long and max(len(p[1].encode()) for p in parts) <= 512
    assert events_named(server, "hook-error/") == [["hook-error/ask/0", "it answered 404", device["id"]]]
    wait_until(lambda: events_named(server, "demo/") == [[f"demo/{device['id']}/0", "yes", device["id"]]], "templates are used")
    swarm.wait_notice("received", device["id"], lambda n: n["name"] == f"demo/{device['id']}/0")


def test_answers_feed_no_webhook(server, joe, target):
    target.answer = lambda request: (200, {}, b"answer")
    create(joe, event="h", url=target.url())
    publish(joe, "hello", "1")
    wait_until(lambda: events_named(server, "hook-response/"), "the answer is an event")
    hold_for(1.5)
    assert len(target.all()) == 1


def test_answers_feed_no_webhook_under_any_name(server, joe, target, new_swarm):
    """Else one webhook is enough to fill the database: each answer would ask for more."""
    device = {"id": new_device_id(), "platform": BORON, "system_version": 6200}
    swarm = new_swarm(server, file=[device]).wait_connected(1)
    joe.ok("POST", "/v1/devices", {"id": device["id"]})
    target.answer = lambda request: (200, {}, b"answer") if request.path == "/good" else (404, {}, b"")
    create(joe, event="h", url=target.url("/good"), responseTopic="hello")
    create(joe, event="h", url=target.url("/bad"), errorResponseTopic="hear")
    publish(joe, "hi", "1")
    swarm.publish(device["id"], "ho", "2")
    wait_until(lambda: len(events_named(server, "he")) >= 4, "the answers are events")
    hold_for(1.5)
    answers = [[event[0], event[2]] for event in events_named(server, "he")]
    assert sorted(answers, key=str) == sorted(
        [[name, who] for name in ("hear/0", "hello/0") for who in (device["id"], "")], key=str)
    assert target.times_by(lambda r: r.path) == {"/good": 2, "/bad": 2}


# --- failures ---

def test_retried_until_it_goes_well(joe, target):
    answers = [(500, {}, b""), (503, {"Retry-After": "3"}, b""), (200, {}, b"")]
    at = []
    target.answer = lambda request: (at.append(time.monotonic()), answers.pop(0))[1]
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_delivered(joe, hook, 1)
    requests = target.all()
    assert [r.headers["X-Cyan-Attempt"] for r in requests] == ["1", "2", "3"] and len({r.delivery for r in requests}) == 1
    assert len({r.body for r in requests}) == 1
    assert at[2] - at[1] >= 2.9, "what the target asks for is kept"
    counters = detail(joe, hook)["counters"]
    assert (counters["delivered"], counters["failed_attempts"], counters["dead"], counters["waiting"]) == (1, 2, 0, 0)


def test_what_will_not_change_is_not_tried_again(joe, target):
    target.answer = lambda request: (int(request.path[1:]), {"Location": "http://127.0.0.1:1/"}, b"")
    hooks = [create(joe, event="e", url=target.url(f"/{status}")) for status in (301, 400, 404, 501)]
    publish(joe, "e", "1")
    for hook in hooks:
        wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, "it is dead")
    hold_for(2)
    assert set(target.times_by(lambda r: r.path).values()) == {1}
    assert detail(joe, hooks[0])["logs"][0]["error"] == "it answered 301"


def test_attempts_end(new_cyand, new_target):
    server, target = new_cyand(webhook_attempts_max=3, **OPEN), new_target()
    joe = server.rest("owner", "joe")
    target.answer = lambda request: (500, {}, b"")
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, "it is given up")
    assert len(target.all()) == 3 and detail(joe, hook)["last_error"] == "it answered 500"
    wait_until(lambda: events_named(server, "hook-error/e/0"), "the error is told")


def test_a_dead_target_is_asked_less_and_less_and_harms_nobody(new_cyand, new_target):
    server, target = new_cyand(webhook_backlog_max=50, **OPEN), new_target()
    joe = server.rest("owner", "joe")
    broken = create(joe, event="e", url="http://127.0.0.1:1/")
    good = create(joe, event="e", url=target.url())
    for i in range(120):
        publish(joe, "e", str(i))
    wait_delivered(joe, good, 120)
    assert target.times_by(lambda r: r.form["data"]) == {str(i): 1 for i in range(120)}
    wait_until(lambda: detail(joe, broken)["counters"]["waiting"] <= 50, "what is too much is dropped")
    seen = detail(joe, broken)
    assert seen["counters"]["dropped"] >= 60 and seen["held_until"] and seen["failing_since"]
    left = server.query(f"SELECT min(convert_from(data, 'UTF8')::int) FROM webhook_delivery WHERE webhook_id = {broken['id']}"
                        " AND state = 'waiting'")
    assert int(left[0][0]) >= 60, "the oldest go first"
    attempts = seen["counters"]["failed_attempts"]
    hold_for(2)
    assert detail(joe, broken)["counters"]["failed_attempts"] - attempts <= 2


def test_disabled_when_it_fails_for_long(new_cyand):
    server = new_cyand(webhook_disable_after_s=60, **OPEN)
    joe = server.rest("owner", "joe")
    hook = create(joe, event="e", url="http://127.0.0.1:1/")
    publish(joe, "e", "1")
    wait_until(lambda: detail(joe, hook)["failing_since"], "it fails")
    server.query(f"UPDATE webhook SET failing_since = failing_since - interval '1 h', failures = 20, hold_until = NULL;"
                 "UPDATE webhook_delivery SET next_at = now()")
    wait_until(lambda: detail(joe, hook)["disabled"], "it is disabled")
    assert "No delivery has succeeded since" in detail(joe, hook)["disabled_reason"]
    wait_until(lambda: server.log_lines(r"webhook\.disabled"), "the log says so")
    publish(joe, "e", "2")
    assert server.query("SELECT count(*) FROM webhook_delivery WHERE convert_from(data, 'UTF8') = '2'") == [["0"]]


def test_one_host_is_not_flooded(new_cyand, new_target):
    server, target, other = new_cyand(webhook_per_host=3, **OPEN), new_target(), new_target()
    joe = server.rest("owner", "joe")

    def slowly(request):
        time.sleep(0.2)
        return 200, {}, b""

    target.answer = slowly
    hooks = [create(joe, event="e", url=target.url(f"/{i}")) for i in range(2)]
    quick = create(joe, event="e", url=other.url())
    for i in range(12):
        publish(joe, "e", str(i))
    wait_delivered(joe, quick, 12)
    for hook in hooks:
        wait_delivered(joe, hook, 12)
    assert 2 <= target.at_once <= 3


def test_a_target_that_never_answers(new_cyand, new_target):
    server, target = new_cyand(webhook_timeout_s=1, webhook_attempts_max=2, **OPEN), new_target()
    joe = server.rest("owner", "joe")
    target.answer = lambda request: (time.sleep(3), (200, {}, b""))[1]
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, "it is given up")
    assert "timeout" in detail(joe, hook)["last_error"].lower() or "time" in detail(joe, hook)["last_error"].lower()


def test_a_long_answer_is_cut(server, joe, target):
    target.answer = lambda request: (200, {}, b"x" * 5_000_000)
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_delivered(joe, hook, 1)
    wait_until(lambda: len(events_named(server, "hook-response/e/")) == 16, "16 parts of 512 bytes are published")


def test_certificates_are_checked(joe, new_target, tmp_path):
    key = Key(tmp_path, "target")
    target = new_target(certificate=(key.self_signed("localhost"), key.path))
    strict = create(joe, event="e", url=target.url("/strict"))
    create(joe, event="e", url=target.url("/lax"), rejectUnauthorized=False)
    publish(joe, "e", "1")
    wait_count(target, 1)
    wait_until(lambda: detail(joe, strict)["counters"]["failed_attempts"] > 0, "it fails")
    assert set(target.times_by(lambda r: r.path)) == {"/lax"} and "certificate" in detail(joe, strict)["last_error"]


# --- at least once ---

def publish_many(server, count):
    """Events of joe's in one statement, each with its number."""
    server.query("INSERT INTO event (key, user_id, name, data, content_format, ttl_s, is_public, is_system, received_at)"
                 " SELECT substr(sha256(i::text::bytea), 1, 16), u.id, 'e', i::text::bytea, 0, 60, false, false, now()"
                 f" FROM users u, generate_series(0, {count - 1}) i WHERE u.name = 'joe'")


def numbered(count):
    return [str(i) for i in range(count)]


def test_killed_in_the_middle(new_cyand, new_target, kills=4):
    server, target = new_cyand(**OPEN), new_target()
    joe = server.rest("owner", "joe")
    target.answer = lambda request: (time.sleep(0.02), (200, {}, b""))[1]
    hook = create(joe, event="e", url=target.url())
    count = 400
    publish_many(server, count)
    for kill in range(kills):
        wait_until(lambda: len(target.all()) >= (kill + 1) * count // (kills + 2), "some have come")
        server.kill()
        server.start()
    joe = server.rest("owner", "joe2").with_token(joe.token)
    wait_delivered(joe, hook, count, 90)
    times = target.times_by(lambda r: r.form["data"])
    assert sorted(times, key=int) == numbered(count), "none is lost"
    repeated = sum(times.values()) - count
    assert repeated <= kills * 64, "only what was under way is repeated"
    assert len(target.times_by(lambda r: r.delivery)) == count, "and can be told by its header"
    assert detail(joe, hook)["counters"]["waiting"] == 0


def test_a_stop_gives_back_what_is_under_way(new_cyand, new_target):
    server, target = new_cyand(**OPEN), new_target()
    joe = server.rest("owner", "joe")
    target.answer = lambda request: (time.sleep(6), (200, {}, b""))[1]
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_count(target, 1)
    server.stop()
    assert server.query("SELECT state, attempts FROM webhook_delivery") == [["waiting", "0"]]
    target.answer = lambda request: (200, {}, b"")
    server.start()
    wait_delivered(server.rest("owner", "x").with_token(joe.token), hook, 1)


def test_two_nodes_share_the_work_and_one_takes_over(new_cyand, new_target, redis):
    target = new_target()
    first = new_cyand(node_id=0, node_lease_s=3, webhook_timeout_s=1, **OPEN, **redis.settings)
    second = new_cyand(node_id=1, node_lease_s=3, webhook_timeout_s=1, keys_dir=first.settings["keys_dir"], **OPEN,
                       **redis.settings)
    joe = first.rest("owner", "joe")
    target.answer = lambda request: (time.sleep(0.02), (200, {}, b""))[1]
    hook = create(joe, event="e", url=target.url())
    count = 600
    publish_many(first, count)
    wait_count(target, count // 3)
    shares = [node.metrics().sum("cyan_webhook_attempts_total") for node in (first, second)]
    assert min(shares) > 0, shares
    first.kill()
    there = second.rest("owner", "x").with_token(joe.token)
    wait_until(lambda: len(target.times_by(lambda r: r.form["data"])) >= count - 64, "the other goes on", 60)
    second.query("UPDATE webhook_delivery SET next_at = now() - interval '1 s' WHERE state = 'sending' AND node_id = 0")
    wait_delivered(there, hook, count, 60)  # the leases of the dead node have run out
    times = target.times_by(lambda r: r.form["data"])
    assert sorted(times, key=int) == numbered(count) and sum(times.values()) - count <= 64


def test_postgres_killed_in_the_middle(new_cyand, new_target, own_postgres):
    from conftest import migrated_database
    server, target = new_cyand(cluster=own_postgres, database=migrated_database(own_postgres), **OPEN), new_target()
    joe = server.rest("owner", "joe")
    target.answer = lambda request: (time.sleep(0.02), (200, {}, b""))[1]
    hook = create(joe, event="e", url=target.url())
    publish_many(server, 300)
    wait_count(target, 100)
    own_postgres.kill()
    own_postgres.start()
    server.query("UPDATE webhook_delivery SET next_at = now() - interval '1 s' WHERE state = 'sending'"
                 " AND next_at < now() + interval '40 s'")
    wait_until(lambda: len(target.times_by(lambda r: r.form["data"])) == 300, "all have come", 120)
    wait_until(lambda: joe.get("/v1/webhooks").status == 200, "people are answered again")
    wait_delivered(joe, hook, 300, 120)


def test_a_webhook_goes_with_its_person(server, joe, target):
    target.answer = lambda request: (500, {}, b"")
    create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_count(target, 1)
    server.query("DELETE FROM users WHERE name = 'joe'")
    wait_until(lambda: server.query("SELECT (SELECT count(*) FROM webhook), (SELECT count(*) FROM webhook_delivery)") ==
               [["0", "0"]], "all of it is gone")


def test_nothing_is_left_of_a_webhook_that_was_deleted_while_it_sent(server, joe, target):
    target.answer = lambda request: (time.sleep(2), (200, {}, b""))[1]
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_count(target, 1)
    assert joe.delete(f"/v1/integrations/{hook['id']}").status == 204
    assert server.query("SELECT state FROM webhook_delivery") == [["sending"]]
    wait_until(lambda: server.query("SELECT count(*) FROM webhook_delivery") == [["0"]], "it goes when it has been sent")


# --- never into closed networks ---

CLOSED = ["127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
          "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[ff02::1]", "[::ffff:127.0.0.1]",
          "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0x7f.1", "2130706433", "0177.0.0.1"]


def test_closed_addresses_are_refused_when_written(cyand):
    joe = cyand.rest("owner", "joe")
    for host in CLOSED:
        answer = joe.post("/v1/webhooks", {"event": "e", "url": f"http://{host}/"})
        assert answer.status == 400 and "public internet" in answer.json["error"], (host, answer)


def test_names_of_closed_addresses_are_refused_when_connected(cyand, new_target):
    """localhost is a name: what it comes to is found out when it is sent to."""
    target = new_target()
    joe = cyand.rest("owner", "joe")
    hook = create(joe, event="e", url=target.url("/", host="localhost"))
    publish(joe, "e", "1")
    wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, lambda: detail(joe, hook))
    assert "public internet" in detail(joe, hook)["last_error"] and target.all() == []


def test_addresses_that_became_closed_are_refused_when_connected(new_cyand, new_target):
    """Made while it was allowed, or by whoever can write the database: the look at the socket decides."""
    target = new_target()
    server = new_cyand(**OPEN)
    joe = server.rest("owner", "joe")
    plain = create(joe, event="e", url=target.url())
    mapped = create(joe, event="e", url=target.url("/", host="[::ffff:127.0.0.1]"))
    server.config.write_text("[webhook]\nallow_private = no\n")
    server.settings["webhook_allow_private"] = None
    server.stop()
    server.start()
    joe = server.rest("owner", "x").with_token(joe.token)
    publish(joe, "e", "1")
    for hook in (plain, mapped):
        wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, lambda: detail(joe, hook))
        assert "public internet" in detail(joe, hook)["last_error"]
    assert target.all() == []


def test_open_connections_are_looked_at_too(new_cyand, new_target):
    server, target = new_cyand(webhook_backoff_s=1), new_target()
    server.config.write_text("[webhook]\nallow_private = yes\n")
    server.reload()
    wait_until(lambda: server.log_lines("config.reloaded"), "it is allowed")
    joe = server.rest("owner", "joe")
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_delivered(joe, hook, 1)
    server.config.write_text("[webhook]\nallow_private = no\n")
    server.reload()
    wait_until(lambda: len(server.log_lines("config.reloaded")) == 2, "it is not any more")
    publish(joe, "e", "2")
    wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, lambda: detail(joe, hook))
    assert "public internet" in detail(joe, hook)["last_error"] and len(target.all()) == 1


def test_redirects_are_not_followed(joe, target, new_target):
    elsewhere = new_target()
    target.answer = lambda request: (302, {"Location": elsewhere.url("/secret")}, b"")
    hook = create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, "it is dead")
    assert elsewhere.all() == []


def test_proxies_of_the_environment_are_not_used(new_cyand, new_target, monkeypatch):
    proxy, target = new_target(), new_target()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    server = new_cyand(**OPEN)
    joe = server.rest("owner", "joe")
    create(joe, event="e", url=target.url())
    publish(joe, "e", "1")
    wait_count(target, 1)
    assert proxy.all() == []


def test_another_server_key_cannot_open_the_secrets(new_cyand, new_target):
    target = new_target()
    first = new_cyand(**OPEN)
    joe = first.rest("owner", "joe")
    hook = create(joe, event="e", url=target.url())
    first.stop()
    second = new_cyand(**OPEN)
    joe = second.rest("owner", "x").with_token(joe.token)
    publish(joe, "e", "1")
    wait_until(lambda: detail(joe, hook)["counters"]["dead"] == 1, "it is dead")
    assert "key of the server" in detail(joe, hook)["last_error"] and target.all() == []
