"""People have accounts: they log in as existing clients do, change their password, are locked out, and tokens end."""

import base64
import json
import signal
import threading

import pytest

from harness.waiting import wait_until

PASSWORD = "correct horse"


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def nina(cyand):
    cyand.create_user("nina@example.com", PASSWORD)
    return "nina@example.com"


def grant(server, **form):
    return server.anonymous().post("/oauth/token", form=form)


def password_grant(server, name, password=PASSWORD, **fields):
    return grant(server, grant_type="password", username=name, password=password, client_id="particle-cli",
                 client_secret="particle-cli", **fields)


def audit(server, **filters):
    query = "&".join(f"{key}={value}" for key, value in filters.items())
    return server.rest().ok("GET", "/v1/audit?" + query)["audit"]


# --- logging in ---

def test_login_as_command_lines_do(cyand, nina):
    answer = password_grant(cyand, nina)
    assert answer.status == 200, answer
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json["token_type"] == "bearer" and answer.json["expires_in"] == 7776000
    rest = cyand.anonymous().with_token(answer.json["access_token"])
    who = rest.ok("GET", "/v1/user")
    assert who["username"] == nina and who["subscription_ids"] == [] and who["account_info"] == {}
    assert who["mfa"] == {"enabled": False}
    assert rest.ok("GET", "/v1/user/identify?tracking=1")["email"] == nina
    assert rest.ok("GET", "/v1/orgs") == {"organizations": []}
    assert rest.ok("GET", "/v1/devices") == []
    current = rest.ok("GET", "/v1/access_tokens/current")
    assert current["client"] == "particle-cli" and current["scopes"] == [] and current["orgs"] == []
    assert current["expires_at"] is not None


@pytest.mark.parametrize("client", [("particle-cli", "particle-cli"), ("CLI2", "client_secret_here"), ("user", "client_secret_here"),
                                    ("particle-api", "particle-api"), ("particle", "particle"), (None, None)])
def test_any_client_may_bring_a_person(cyand, nina, client):
    form = {"grant_type": "password", "username": nina, "password": PASSWORD}
    if client[0]:
        form.update(client_id=client[0], client_secret=client[1])
    assert cyand.anonymous().post("/oauth/token", form=form).status == 200
    assert cyand.anonymous().post("/oauth/token", json_body=form).status == 200
    if client[0]:
        del form["client_id"], form["client_secret"]
        assert cyand.anonymous().post("/oauth/token", form=form, headers=basic(*client)).status == 200


def test_a_stale_bearer_token_does_not_matter(cyand, nina):
    answer = cyand.anonymous().with_token("0" * 40).post(
        "/oauth/token", form={"grant_type": "password", "username": nina, "password": PASSWORD})
    assert answer.status == 200, answer


@pytest.mark.parametrize("fields,expires_in", [({"expires_in": "0"}, 0), ({"expires_in": "3600"}, 3600), ({}, 7776000)])
def test_how_long_a_token_lasts(cyand, nina, fields, expires_in):
    answer = password_grant(cyand, nina, **fields).json
    assert answer["expires_in"] == expires_in
    current = cyand.anonymous().with_token(answer["access_token"]).ok("GET", "/v1/access_tokens/current")
    assert (current["expires_at"] is None) == (expires_in == 0)


def test_expiry_by_date_and_as_a_number(cyand, nina):
    assert password_grant(cyand, nina, expires_at="2999-01-01T00:00:00Z").status == 400  # more than a hundred years
    assert password_grant(cyand, nina, expires_at="2060-01-01T00:00:00.000Z").json["expires_in"] > 3600 * 24 * 365
    body = {"grant_type": "password", "username": nina, "password": PASSWORD, "expires_in": 60}
    assert cyand.anonymous().post("/oauth/token", json_body=body).json["expires_in"] == 60


@pytest.mark.parametrize("fields,error", [
    ({"grant_type": "password"}, "invalid_request"),
    ({"grant_type": "password", "username": "nina@example.com", "password": "wrong"}, "invalid_grant"),
    ({"grant_type": "password", "username": "nobody", "password": PASSWORD}, "invalid_grant"),
    ({"grant_type": "implicit"}, "unsupported_grant_type"),
    ({}, "invalid_request"),
    ({"grant_type": "client_credentials"}, "invalid_client"),
    ({"grant_type": "client_credentials", "client_id": "particle", "client_secret": "particle"}, "invalid_client"),
    ({"grant_type": "refresh_token"}, "invalid_request"),
    ({"grant_type": "refresh_token", "refresh_token": "0" * 40}, "invalid_grant"),
    ({"grant_type": "password", "username": "n", "password": "p", "expires_in": "-1"}, "invalid_request"),
    ({"grant_type": "password", "username": "n", "password": "p", "expires_in": "soon"}, "invalid_request"),
    ({"grant_type": "password", "username": "n", "password": "p", "expires_at": "2001-01-01"}, "invalid_request"),
    ({"grant_type": "password", "username": "n", "password": "p", "scope": "everything"}, "invalid_scope"),
])
def test_what_is_refused_and_how(cyand, nina, fields, error):
    answer = grant(cyand, **fields)
    assert answer.status == 400 and answer.json["error"] == error and answer.json["error_description"], answer
    assert "access token" not in answer.text.lower()  # clients forget their login at these words


def test_refresh_tokens_rotate(cyand, nina):
    first = password_grant(cyand, nina).json
    form = {"grant_type": "refresh_token", "client_id": "particle-cli", "client_secret": "particle-cli"}
    second = grant(cyand, refresh_token=first["refresh_token"], **form).json
    assert cyand.anonymous().with_token(second["access_token"]).get("/v1/user").status == 200
    again = grant(cyand, refresh_token=first["refresh_token"], **form)
    assert again.status == 400 and again.json["error"] == "invalid_grant"
    for token in (first, second):
        assert cyand.anonymous().with_token(token["access_token"]).get("/v1/user").status == 401
    assert [row["actor"] for row in audit(cyand, action="token.reuse")] == [nina]


# --- accounts ---

def test_signing_up_is_closed_unless_opened(cyand, new_cyand):
    who = {"username": "mike@example.com", "password": PASSWORD}
    answer = cyand.anonymous().post("/v1/users", json_body=who)
    assert answer.status == 403 and answer.json["error"].startswith("Accounts are made by"), answer
    assert cyand.rest("operator").post("/v1/users", json_body=who).status == 403
    assert cyand.rest().post("/v1/users", json_body=who).json == {"ok": True}
    assert password_grant(cyand, who["username"]).status == 200
    taken = cyand.rest().post("/v1/users", json_body={**who, "username": "MIKE@example.com"})
    assert taken.status == 400 and taken.json["errors"] == ["That username is taken."] and taken.json["ok"] is False
    cyand.config.write_text("[auth]\nsignup = open\n")
    cyand.reload()
    wait_until(lambda: cyand.log_lines("config.reloaded"), "the settings are read", 20)
    assert cyand.anonymous().post("/v1/users", form={"username": "zoe", "password": PASSWORD}).json == {"ok": True}
    assert cyand.anonymous().post("/v1/users", form={"username": "eve", "password": "short"}).status == 400
    assert cyand.anonymous().post("/v1/users", form={"username": "eve"}).status == 400
    assert cyand.anonymous().post("/v1/users", form={"username": "eve", "password": PASSWORD, "role": "admin"}).status == 403
    rest = cyand.anonymous().with_token(cyand.log_in("zoe", PASSWORD)["access_token"])
    assert rest.ok("GET", "/v1/user")["role"] == "owner"


def test_another_password(cyand, nina):
    here, there = (cyand.anonymous().with_token(cyand.log_in(nina, PASSWORD)["access_token"]) for _ in range(2))
    assert there.get("/v1/user").status == 200
    new = {"password": "battery staple"}
    assert here.put("/v1/user", json_body=new).status == 400
    wrong = here.put("/v1/user", json_body={**new, "current_password": "wrong"})
    assert wrong.status == 400 and wrong.json["errors"] == ["current_password is not right."]
    assert here.put("/v1/user", json_body={"password": "short", "current_password": PASSWORD}).status == 400
    assert here.put("/v1/user", json_body={}).status == 400
    assert here.put("/v1/user", json_body={**new, "current_password": PASSWORD}).json == {"ok": True}
    assert here.get("/v1/user").status == 200
    assert there.get("/v1/user").status == 401
    assert password_grant(cyand, nina).status == 400
    assert password_grant(cyand, nina, "battery staple").status == 200


def test_commands(cyand, nina):
    cyand.command("user", "password", nina, typed="battery staple\n")
    assert password_grant(cyand, nina, "battery staple").status == 200
    cyand.create_user("ada", PASSWORD, "admin")
    rest = cyand.anonymous().with_token(cyand.log_in("ada", PASSWORD)["access_token"])
    assert rest.get("/v1/audit").status == 200
    with pytest.raises(AssertionError, match="there is a user ada already"):
        cyand.create_user("ada", PASSWORD)
    with pytest.raises(AssertionError, match="at least 8 characters"):
        cyand.create_user("bob", "short")
    with pytest.raises(AssertionError, match="standard input, which is empty"):
        cyand.command("user", "add", "bob", "--role", "owner")
    assert PASSWORD not in "\n".join(cyand.log_lines(""))


# --- tokens ---

def test_tokens_by_name_and_password(cyand, nina):
    rest = cyand.anonymous()
    token = cyand.log_in(nina, PASSWORD)["access_token"]
    listed = rest.get("/v1/access_tokens", headers=basic(nina, PASSWORD))
    assert listed.status == 200 and [row["client"] for row in listed.json] == ["particle-cli"], listed
    wrong = rest.get("/v1/access_tokens", headers=basic(nina, "wrong"))
    assert wrong.status == 400 and wrong.json["error"] == "invalid_grant", wrong
    assert rest.get("/v1/devices", headers=basic(nina, PASSWORD)).status == 400  # not for anything else
    assert rest.delete(f"/v1/access_tokens/{token}", headers=basic(nina, PASSWORD)).json == {"ok": True}
    assert rest.delete(f"/v1/access_tokens/{token}").status == 404
    assert rest.delete("/v1/access_tokens", headers=basic(nina, PASSWORD)).json == {"ok": True}


def test_logout_ends_the_refresh_token_too(cyand, nina):
    token = cyand.log_in(nina, PASSWORD)
    assert cyand.anonymous().with_token(token["access_token"]).delete("/v1/access_tokens/current").json == {"ok": True}
    assert grant(cyand, grant_type="refresh_token", refresh_token=token["refresh_token"],
                 client_id="particle-cli").status == 400


def test_clients_get_tokens_of_who_made_them(cyand, nina):
    rest = cyand.anonymous().with_token(cyand.log_in(nina, PASSWORD)["access_token"])
    assert rest.ok("GET", "/v1/clients") == {"ok": True, "clients": []}
    made = rest.post("/v1/clients", json_body={"name": "Dashboard", "type": "installed", "scope": "devices:list"})
    assert made.status == 201, made
    client = made.json["client"]
    assert client["name"] == "Dashboard" and client["type"] == "installed" and len(client["secret"]) == 40
    listed = rest.ok("GET", "/v1/clients")["clients"]
    assert [one["id"] for one in listed] == [client["id"]] and "secret" not in listed[0]
    for headers, form in (({}, {"client_id": client["id"], "client_secret": client["secret"]}),
                          (basic(client["id"], client["secret"]), {})):
        answer = cyand.anonymous().post("/oauth/token", form={"grant_type": "client_credentials", **form}, headers=headers)
        assert answer.status == 200, answer
    owner = cyand.anonymous().with_token(answer.json["access_token"])
    assert owner.ok("GET", "/v1/user")["username"] == nina
    assert owner.get("/v1/devices").status == 200
    assert owner.post("/v1/devices/events", form={"name": "x"}).status == 403
    assert rest.post("/v1/clients", json_body={"name": "x", "type": "other"}).status == 400
    assert rest.post("/v1/clients", json_body={"type": "web"}).status == 400
    assert rest.delete("/v1/clients/none").status == 404
    assert rest.delete(f"/v1/clients/{client['id']}").json == {"ok": True}
    assert owner.get("/v1/devices").status == 401


# --- several nodes ---

@pytest.fixture
def nodes(new_cyand, redis):
    first = new_cyand(node_id=0, node_lease_s=3, **redis.settings)
    return [first, new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **redis.settings)]


def test_a_revoked_token_is_dead_on_every_node(nodes):
    nodes[0].create_user("nina", PASSWORD)
    for revoke in (lambda token: nodes[0].anonymous().delete(f"/v1/access_tokens/{token}"),
                   lambda token: nodes[0].anonymous().with_token(token).delete("/v1/access_tokens"),
                   lambda token: nodes[0].anonymous().with_token(nodes[1].log_in("nina", PASSWORD)["access_token"]).put(
                       "/v1/user", json_body={"current_password": PASSWORD, "password": PASSWORD})):
        token = nodes[0].log_in("nina", PASSWORD)["access_token"]
        rests = [node.anonymous().with_token(token) for node in nodes]
        assert [rest.get("/v1/user").status for rest in rests] == [200, 200]  # both have it in their cache
        assert revoke(token).status == 200
        assert rests[0].get("/v1/user").status == 401
        wait_until(lambda: rests[1].get("/v1/user").status == 401, "the other node has heard of it", 20)


def test_a_lock_counts_on_every_node(nodes):
    nodes[0].create_user("nina", PASSWORD)
    for i in range(10):
        answer = password_grant(nodes[i % 2], "nina", "wrong horse")
        assert answer.status == 400 and answer.json["error"] == "invalid_grant", answer
    for node in nodes:
        answer = password_grant(node, "nina")
        assert answer.status == 429 and answer.json["error"] == "Too many requests", answer
        assert 0 < int(answer.headers["Retry-After"]) <= 30
        listed = node.anonymous().get("/v1/access_tokens", headers=basic("nina", PASSWORD))
        assert listed.status == 429 and listed.headers["Retry-After"], listed
    def refused():
        return sum(row["count"] for row in audit(nodes[1], action="refused", target="POST%20/oauth/token"))

    wait_until(lambda: refused() == 12, lambda: f"{refused()} refusals are in the trail", 20)
    nodes[0].restart_on_same_ports(signal.SIGKILL)
    assert password_grant(nodes[0], "nina").status == 429
    nodes[0].query("UPDATE sign_in_failure SET locked_until = now() - interval '1 s'")
    assert password_grant(nodes[1], "nina").status == 200
    assert password_grant(nodes[0], "nina").status == 200
    locks = audit(nodes[0], action="sign_in.lock")
    assert {row["target"] for row in locks} == {"user nina", "address 127.0.0.1"}


def test_what_was_committed_outlives_a_kill(cyand, nina):
    """kill -9 at any moment of many logins and revocations: what was answered holds, and nothing is half done."""
    alive, dead, lock, stop = [], [], threading.Lock(), threading.Event()

    def log_in_and_out():
        while not stop.is_set():
            try:
                token = cyand.log_in(nina, PASSWORD)
                with lock:
                    alive.append(token)
                if len(alive) % 2:
                    continue
                answer = cyand.anonymous().delete(f"/v1/access_tokens/{token['access_token']}")
                with lock:
                    alive.remove(token)
                    if answer.status == 200:
                        dead.append(token)
            except (OSError, AssertionError, json.JSONDecodeError):
                pass  # the server went away: nothing was promised

    threads = [threading.Thread(target=log_in_and_out) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        seen = len(dead)
        wait_until(lambda: len(dead) > seen + 3, "people log in and out", 60)
        cyand.restart_on_same_ports(signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    for token in alive[:20]:
        assert cyand.anonymous().with_token(token["access_token"]).get("/v1/user").status == 200
    for token in dead[:20]:
        assert cyand.anonymous().with_token(token["access_token"]).get("/v1/user").status == 401
        assert grant(cyand, grant_type="refresh_token", refresh_token=token["refresh_token"],
                     client_id="particle-cli").status == 400
    rows = cyand.query("SELECT count(*) FROM access_token t LEFT JOIN refresh_token r ON r.family = t.family"
                       " WHERE t.client = 'particle-cli' AND (r.family IS NULL"
                       " OR (t.revoked_at IS NULL) <> (r.revoked_at IS NULL))")
    assert rows[0][0] == "0"
