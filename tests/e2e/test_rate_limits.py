"""Nobody keeps others out by asking too often: limits per token and per address, told with Retry-After."""

import concurrent.futures
import contextlib
import http.client
import socket

from harness.waiting import wait_until

PASSWORD = "correct horse"


def too_many(answer):
    return (answer.status == 429 and answer.json == {"ok": False, "error": "Too many requests"}
            and int(answer.headers["Retry-After"]) >= 1)


def hammer(rest, path, count, headers=None):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: rest.get(path, headers=headers), range(count)))


def get_twice(cyand, token, *forwarded_for):
    """The status of a request with several lines of X-Forwarded-For."""
    connection = http.client.HTTPConnection("127.0.0.1", cyand.http_port, timeout=60)
    connection.putrequest("GET", "/v1/user")
    connection.putheader("Authorization", f"Bearer {token}")
    for line in forwarded_for:
        connection.putheader("X-Forwarded-For", line)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_token_that_asks_too_often(new_cyand):
    cyand = new_cyand(http_rate_per_token=1)
    mine, others = cyand.rest("owner", "nina"), cyand.rest("owner", "mike")
    answers = hammer(mine, "/v1/user", 40)
    refused = [answer for answer in answers if answer.status != 200]
    assert refused and all(map(too_many, refused)), refused
    assert sum(answer.status == 200 for answer in answers) >= 10
    assert others.get("/v1/user").status == 200
    assert cyand.metrics().sum("cyan_http_limited_total", by="token") == len(refused)
    wait_until(lambda: mine.get("/v1/user").status == 200, "it may ask again", 20)
    admin = cyand.rest()
    wait_until(lambda: sum(row["count"] for row in admin.get("/v1/audit?actor=nina&action=refused").json.get("audit", []))
               >= len(refused), "the trail tells of it", 20)


def test_an_address_that_asks_too_often(new_cyand):
    cyand = new_cyand(http_rate_per_address=1)
    rest = cyand.rest("owner", "nina")
    refused = [answer for answer in hammer(rest, "/v1/user", 40) if answer.status != 200]
    assert refused and all(map(too_many, refused)), refused
    assert not [answer for answer in hammer(cyand.anonymous(), "/health", 20) if answer.status != 200]
    assert cyand.metrics().sum("cyan_http_limited_total", by="address") >= len(refused)
    assert too_many(next(filter(too_many, hammer(cyand.anonymous(), "/v1/nothing", 20))))
    wait_until(lambda: rest.get("/v1/user").status == 200, "it may ask again", 20)


def test_a_proxy_speaks_for_its_clients(new_cyand):
    """Behind a proxy that is trusted each client has a limit of its own; nobody else is believed."""
    cyand = new_cyand(http_rate_per_address=1, http_trusted_proxy="127.0.0.1")
    rest = cyand.rest("owner", "nina")
    crowd = hammer(rest, "/v1/user", 40, {"X-Forwarded-For": "203.0.113.1"})
    assert any(map(too_many, crowd))
    assert rest.get("/v1/user", headers={"X-Forwarded-For": "203.0.113.2"}).status == 200
    assert rest.get("/v1/user").status == 200
    wait_until(lambda: cyand.query("SELECT actor, after->>'address' FROM audit WHERE action = 'refused'")
               == [["203.0.113.1", "203.0.113.1"]], "the trail tells the client's address", 20)
    # some proxies add a line of their own behind what the client wrote
    statuses = [get_twice(cyand, rest.token, f"198.51.100.{i}", "203.0.113.3") for i in range(40)]
    assert 429 in statuses
    plain = new_cyand(http_rate_per_address=1)
    rest = plain.rest("owner", "nina")
    answers = [rest.get("/v1/user", headers={"X-Forwarded-For": f"203.0.113.{i}"}) for i in range(40)]
    assert any(map(too_many, answers))


def test_the_connections_of_a_proxy_are_those_of_many(new_cyand):
    cyand = new_cyand(http_streams_per_address=0, http_streams=0, http_trusted_proxy="127.0.0.1")
    with contextlib.ExitStack() as opened:
        for _ in range(700):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", cyand.http_port), 20))
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_logins_have_a_limit_of_their_own(new_cyand):
    cyand = new_cyand(http_rate_logins=3)
    cyand.create_user("nina", PASSWORD)
    form = {"grant_type": "password", "username": "nina", "password": PASSWORD}
    answers = [cyand.anonymous().post("/oauth/token", form=form) for _ in range(5)]
    assert [answer.status for answer in answers[:3]] == [200] * 3 and too_many(answers[4]), answers
    assert int(answers[4].headers["Retry-After"]) <= 20
    assert too_many(cyand.anonymous().post("/v1/users", json_body={"username": "x", "password": PASSWORD}))
    rest = cyand.anonymous().with_token(answers[0].json["access_token"])
    assert rest.get("/v1/user").status == 200
    assert too_many(rest.put("/v1/user", json_body={"current_password": "x", "password": PASSWORD}))
    assert cyand.metrics().sum("cyan_http_limited_total", by="logins") >= 3


def test_zero_is_off_and_rates_change_at_once(new_cyand):
    cyand = new_cyand(http_rate_per_token=None)
    cyand.config.write_text("[http]\nrate_per_token = 1\n")
    cyand.reload()
    wait_until(lambda: cyand.log_lines("config.reloaded"), "the settings are read", 20)
    rest = cyand.rest("owner", "nina")
    assert any(map(too_many, hammer(rest, "/v1/user", 40)))
    cyand.config.write_text("[http]\nrate_per_token = 0\nrate_per_address = 0\nrate_logins = 0\n")
    cyand.reload()
    wait_until(lambda: len(cyand.log_lines("config.reloaded")) == 2, "the settings are read again", 20)
    assert all(answer.status == 200 for answer in hammer(rest, "/v1/user", 100))


def test_too_many_passwords_at_once_are_refused_not_queued(new_cyand):
    """Hashing is dear: what is more than the server can do soon is told to come again, and all else goes on."""
    cyand = new_cyand(http_rate_logins=0, auth_argon2_iterations=6)
    cyand.create_user("nina", PASSWORD)
    rest = cyand.rest()
    form = {"grant_type": "password", "username": "nina", "password": PASSWORD}
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(cyand.anonymous().post, "/oauth/token", form=form, timeout_s=300) for _ in range(200)]
        others = [rest.get("/v1/user", timeout_s=300).status for _ in range(20)]
        answers = [one.result() for one in asked]
    assert others == [200] * 20
    assert {answer.status for answer in answers} == {200, 503}, answers
    assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status == 503)
    assert cyand.metrics().sum("cyan_passwords_refused_total") == sum(answer.status == 503 for answer in answers)
