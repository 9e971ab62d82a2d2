"""Whatever is sent to the HTTP port: JSON errors or a closed connection, nothing leaks, and devices do not notice."""

import concurrent.futures
import json
import os
import random
import resource
import selectors
import socket
import time

import pytest

from harness import paths
from harness.keys import new_device_id
from harness.rest import Rest
from harness.waiting import wait_until
from harness.wire import Wire, check_error, exchange, request

SANITIZED = paths.build_profile() not in ("dev", "release")  # keeps what is freed

CONNECTIONS_MAX = 1000 + 5000  # of requests, and of event streams (http.streams)


@pytest.fixture
def admin(cyand):
    return cyand.rest().token


@pytest.fixture(autouse=True)
def nothing_is_left(cyand, admin):
    """After each test no more descriptors are open than before, and the server answers."""
    before = open_files(cyand)
    yield
    wait_until(lambda: open_files(cyand) <= before, lambda: f"{before} descriptors again, there are {open_files(cyand)}", 90)
    cyand.anonymous().ok("GET", "/health")


def open_files(cyand):
    return len([name for name in os.listdir(f"/proc/{cyand.pid}/fd")])


def errors_of(cyand, data, *statuses):
    """Every answer is a JSON error; there may be none, when the connection was closed."""
    replies = exchange(cyand.http_port, data)
    for reply in replies:
        check_error(reply, *statuses)
    return replies


# --- what is not HTTP ---

NOT_HTTP = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 4096,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"GET / http/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
            b"GET / HTTP/1.1\rHost: x\r\r", b"GET / HTTP/1.1\nHost: x\n\n", b"\r\n" * 5000, b"GET / HTTP/1.1\r\n continued\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n", b"{\"json\":true}", b"GET"]


@pytest.mark.parametrize("data", NOT_HTTP, ids=lambda data: repr(data[:24]))
def test_what_is_not_http(cyand, data):
    errors_of(cyand, data)


def test_what_is_not_http_is_refused_with_words(cyand):
    """The library's own pages are HTML; none of them gets out. All of them are counted."""
    before = cyand.metrics().sum("cyan_http_unreadable_total")
    bad = [request(path="/v1/devices?" + "&".join(f"a{i}=1" for i in range(2000))), b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", request(headers=["Content-Length: many"]),
           request("POST", headers=["Transfer-Encoding: chunked"], body=b"no chunk\r\n", length=False)]
    for data in bad:
        assert errors_of(cyand, data), data
    assert cyand.metrics().sum("cyan_http_unreadable_total") == before + len(bad)


def test_noise(cyand, admin):
    rng = random.Random(7)
    good = request("PUT", "/v1/devices/kitchen", admin, ["Content-Type: application/json"], b'{"name":"hall"}')
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for reply in exchange(cyand.http_port, bytes(data)):
            assert reply.headers["content-type"].startswith(("application/json", "text/plain")), reply
            json.loads(reply.body)
            assert reply.status < 500 or reply.status == 505, (bytes(data), reply)


# --- methods and paths ---

def test_methods_nobody_knows(cyand, admin):
    for method in ("BREW", "PATCH", "TRACE", "get", "QUERY", "X" * 300, "G" * 12, "PROPFIND", "G\u00c9T"):
        (reply,) = errors_of(cyand, request(method, token=admin, headers=["Connection: close"]), 400, 405)
        if reply.status == 405:
            assert reply.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    errors_of(cyand, b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")


def test_paths(cyand, admin):
    for path in ("/v1/devices/../../etc/passwd", "/v1/devices/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/../..", "//", "/v1//devices", "/v1",
                 "/v1/devices/%00", "/v1/devices/a%00b", "/v1/devices/%ff%fe", "/v1/devices/%c0%ae", "/v1/devices/%", "/v1/devices/%zz",
                 "/v1/devices/%ed%a0%80", "*", "http://example.com/v1/nothing", "/v1/devices/\\..\\..", "/v1/firmware/../devices/x",
                 "/" + "a/" * 1000, "/v1/devices/" + "x" * 20000, "/v1/devices/' OR 1=1 --".replace(" ", "%20"), "/v1/devices/%0d%0aX:%20y"):
        (reply,) = errors_of(cyand, request(path=path, token=admin, headers=["Connection: close"]), 400, 404, 414)
        assert b"root:" not in reply.body and "x" not in reply.headers
    for query in ("?name=%00", "?name=%ff", "?name=%", "?%zz=1", "?per_page=%31%00", "?page=1&page=%ff"):
        errors_of(cyand, request(path="/v1/devices" + query, token=admin), 400)
    (reply,) = exchange(cyand.http_port, request(path="/v1/devices?" + "&".join(f"a{i}=1" for i in range(2000)), token=admin))
    check_error(reply, 431)


# --- headers ---

def test_headers(cyand, admin):
    for size, statuses in ((40_000, (431,)), (70_000, (413, 431)), (2_000_000, (413, 414, 431))):
        errors_of(cyand, request(token=admin, headers=["X-Big: " + "x" * size]), *statuses)
        errors_of(cyand, request(token=admin, path="/" + "x" * size), 404, *statuses, 414)
        errors_of(cyand, request(token="t" * size), 401, *statuses)
    errors_of(cyand, request(token=admin, headers=[f"X-{i}: {i}" for i in range(10_000)]), 413, 431)
    for length in ("-1", "1e3", "99999999999999999999999", "18446744073709551616", "0x10", "", "5, 5", "+5"):
        errors_of(cyand, request("POST", token=admin, headers=[f"Content-Length: {length}"], body=b"{}", length=False))
    errors_of(cyand, request("POST", token=admin, headers=["Content-Length: 2", "Content-Length: 60"], body=b"{}", length=False))
    errors_of(cyand, request("POST", token=admin, headers=["Transfer-Encoding: gzip"], body=b"{}"))
    for authorization in ("Bearer", "Bearer ", "bearer\t", "Basic " + "x" * 9000, "Bearer \xff\xfe", "Digest a=b"):
        (reply,) = errors_of(cyand, request(headers=[f"Authorization: {authorization}", "Connection: close"]), 400, 401)
        assert reply.json["error"] in ("invalid_request", "invalid_token")


# --- bodies ---

BROKEN_JSON = [b"{", b"}", b'{"id"', b'{"id":', b'{"id":}', b'{"id":1,}', b"{'id':1}", b"nul", b"[]", b"1", b'"text"', b"\xef\xbb\xbf{}",
               b'{"id":"\xff"}', b'{"id":"\\ud800"}', b'{"id":"\\u0000"}', b'{"id":NaN}', b'{"id":01}', b"{}{}", b"{} trailing", b"\0",
               b'{"id":' + b"9" * 60_000 + b"}", b'{"id":1e999}', b"[" * 60_000, b'{"a":' * 10_000, b'{"id":"' + b"x" * 60_000,
               b'{"id":"a\0b"}', b'{"' + b"k" * 50_000 + b'":1}']


@pytest.mark.parametrize("body", BROKEN_JSON, ids=lambda body: repr(body[:16]))
def test_broken_json(cyand, admin, body):
    (reply,) = errors_of(cyand, request("POST", token=admin, headers=["Content-Type: application/json", "Connection: close"], body=body),
                         400)
    assert cyand.query("SELECT count(*) FROM device") == [["0"]]


def test_bodies_that_do_not_fit_their_type(cyand, admin):
    form, multipart = "application/x-www-form-urlencoded", "multipart/form-data"
    for kind, body in ((form, b"id=%"), (form, b"id=%zz"), (form, b"=%00&&&==&"), (form, b"id=%ff%fe"), (form, b"a&" * 400),
                       (form, b"id=" + b"x" * 66_000), (multipart, b"x"), (multipart + "; boundary=", b"x"), (multipart + "; boundary", b"x"),
                       (multipart + "; boundary=" + "b" * 5000, b"x"), (multipart + "; boundary=a", b"--a\r\n\r\nx"),
                       (multipart + "; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n"),
                       (multipart + "; boundary=a", b"--a\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nx\r\n--a--\r\n"),
                       (multipart + "; boundary=a", b"--a\r\n" + b"X: y\r\n" * 2000 + b"\r\nx\r\n--a--\r\n"),
                       (multipart + "; boundary=a", b"--a\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nx\r\n" * 300 + b"--a--\r\n"),
                       (multipart + "; boundary=a", b"--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--a--"),
                       ("text/plain", b"id=1"), ("application/octet-stream", b"\x00\x01"), ("a" * 3000, b"x"), ("application/json", b"id=1")):
        errors_of(cyand, request("POST", token=admin, headers=[f"Content-Type: {kind}", "Connection: close"], body=body), 400, 413)


def test_lengths_that_lie(cyand, admin):
    # more is promised than comes: no answer, or an error, once the client is gone
    for data in (request("POST", token=admin, headers=["Content-Length: 1000"], body=b'{"id":"x"}', length=False),
                 request("POST", token=admin, headers=["Transfer-Encoding: chunked"], body=b"5\r\n{\"id\"", length=False),
                 request("POST", token=admin, headers=["Transfer-Encoding: chunked"], body=b"5\r\n{\"id\"\r\n", length=False)):
        errors_of(cyand, data)
    # less is promised than comes: what is left over is no request
    replies = exchange(cyand.http_port, request("POST", token=admin, headers=["Content-Length: 2"], body=b"{}trailing", length=False))
    check_error(replies[0], 400)
    for size in (b"FFFFFFFFFFFFFFFFF", b"-1", b"zz", b"1;" + b"x" * 90_000, b""):
        errors_of(cyand, request("POST", token=admin, headers=["Transfer-Encoding: chunked"], body=size + b"\r\n{}\r\n0\r\n\r\n", length=False))
    (reply,) = errors_of(cyand, request("POST", token=admin, body=b"x" * 70_000), 413)
    errors_of(cyand, request("POST", token=admin, headers=["Content-Length: 5000000000"], length=False), 413)
    errors_of(cyand, request("POST", token=admin, headers=["Expect: 100-continue", "Content-Length: 70000"], length=False), 413)
    errors_of(cyand, request("POST", token=admin, headers=["Expect: the-unexpected"], body=b"{}"))


def test_uploads_that_break_off(cyand, admin):
    """Chunked multipart, cut at every interesting place; nothing of it is kept."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="../../../etc/cron.d/x"\r\nContent-Type: application/octet-stream\r\n\r\n'
    whole = head + b"\x5a" * 3000 + b"\r\n--b--\r\n"
    assert cyand.rest().post("/v1/provisioning/" + new_device_id(), {"algorithm": "psk", "psk": "00" * 16}).status == 200
    (device,) = [row["id"] for row in cyand.rest().devices()]
    for method, path in (("POST", "/v1/firmware"), ("PUT", f"/v1/devices/{device}")):
        begin = request(method, path, admin, ["Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked"], length=False)
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(whole[i:i + 500]), whole[i:i + 500]) for i in range(0, len(whole), 500))
        for cut in (1, 3, 20, len(head), len(head) + 100, len(chunks) - 30, len(chunks) - 1, len(chunks)):
            errors_of(cyand, begin + chunks[:cut])
        for body in (head, whole[:-4], b"--b--\r\n", b"", b"--b", whole.replace(b"--b--", b"--c--"), b"preamble" * 100 + whole, whole * 2):
            errors_of(cyand, begin + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else begin + b"0\r\n\r\n", 400, 408)
        errors_of(cyand, begin + chunks + b"0\r\n\r\n", 400, 408)
        no_boundary = begin.replace(b"; boundary=b", b"")
        errors_of(cyand, no_boundary + chunks + b"0\r\n\r\n", 400)
    assert cyand.query("SELECT count(*) FROM module_binary") == [["0"]]


# --- types ---

WRONG = (None, True, 0, 1, -1, 2**31, 2**63 - 1, -2**63, 1e300, 0.5, "", "x", "-1", "null", "a\u0000b", "\U0001f600" * 300, "x" * 3000,
         "' OR '1'='1", "../../x", [], [None], [[]], ["x"] * 300, {}, {"a": {"b": [1]}}, {"$ref": "#"})
PATHS = {"name": "nothing", "token": "f" * 40}


def bodies_of(document, operation):
    """Each field with each wrong value, beside what must be there."""
    schema = document.body_schema(operation)
    if schema is not None:
        needed = document.example(schema, everything=False)
        for name in schema.get("properties", ()):
            for value in WRONG:
                yield {**needed, name: value}


def test_wrong_types_of_every_documented_field(cyand, admin):
    """Generated from the OpenAPI document; with the rights to do anything."""
    document = cyand.document()
    device = new_device_id()
    rest = Rest(cyand.http_port, admin)
    rest.ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    asked = 0
    jobs = []
    for method, path, operation in document.operations():
        filled = path
        for name in set(part[1:-1] for part in path.split("/") if part.startswith("{")):
            filled = filled.replace("{" + name + "}", device if name == "device" else PATHS.get(name, "1"))
        if method == "DELETE" and "access_tokens" in path:
            continue
        jobs += [(method, path, filled, body) for body in bodies_of(document, operation)]
        for parameter in map(document.resolve, operation.get("parameters", ())):
            if parameter["in"] == "query":
                jobs += [(method, path, f"{filled}?{parameter['name']}={value}", None)
                         for value in ("", "x", "-1", "0", "1e9", "9" * 30, "%20", "true", "%F0%9F%98%80", "a" * 5000, "2014-07-02", "null")]

    def ask(job):
        method, path, filled, body = job
        text = json.dumps(body) if body is not None else None
        answer = rest.request(method, filled, body=text, headers={"Content-Type": "application/json"} if text else None)
        assert answer.status < 500 or answer.status == 501, f"{method} {filled} {text and text[:200]}: {answer}"
        assert answer.status != 401, f"{method} {filled} {text and text[:200]}: {answer}"
        if answer.status >= 400:
            assert answer.json["ok"] is False and answer.json["error"], f"{method} {filled} {text and text[:200]}: {answer}"
        document.check(method, filled, answer)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in pool.map(ask, jobs):
            asked += 1
    assert asked > 1000
    assert not cyand.log_lines("level=error|store.fault"), cyand.log_lines("level=error|store.fault")[:5]


# --- many at once ---

def test_pipelining(cyand, admin):
    get = request(path="/v1/access_tokens/current", token=admin)
    replies = exchange(cyand.http_port, get * 40 + request(path="/v1/nothing", token=admin) + get)
    assert [reply.status for reply in replies] == [200] * 40 + [404, 200]
    replies = exchange(cyand.http_port, get + request("POST", "/v1/devices", admin, body=b'{"id":"x"}') + get + b"garbage\r\n\r\n" + get)
    assert [reply.status for reply in replies[:3]] == [200, 400, 200]
    for reply in replies[3:]:
        check_error(reply)
    # a client that asks and asks and does not read
    with Wire(cyand.http_port, timeout_s=5) as wire:
        try:
            for _ in range(3000):
                if not wire.send(get):
                    break
        except TimeoutError:
            pass


def test_clients_that_leave_at_once(cyand, admin):
    for _ in range(200):
        wire = Wire(cyand.http_port)
        wire.send(request(path="/v1/devices", token=admin))
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
        wire.close()


@pytest.mark.long
def test_slow_clients_are_cut_and_harm_nobody(cyand, admin, new_swarm):
    """A byte at a time: of headers, of a body, of an upload, of an answer never read. Others are served meanwhile."""
    swarm = new_swarm(cyand, devices=3, platforms="argon", profile="deviceos").wait_connected(3)
    device = swarm.online()[0]
    whole = request("PUT", f"/v1/devices/{device}", admin, ["Content-Type: application/json"], b'{"notes":"' + b"x" * 2000 + b'"}')
    upload = request("POST", "/v1/firmware", admin, ["Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked"],
                     length=False)
    slow = [(Wire(cyand.http_port), iter(whole[i:i + 1] for i in range(len(whole)))) for _ in range(100)]
    slow += [(Wire(cyand.http_port), iter([upload] + [b"1\r\nx\r\n"] * 5000)) for _ in range(10)]
    open_ones, rest, asked = list(slow), cyand.rest(), 0
    until = time.monotonic() + 100
    while open_ones and time.monotonic() < until:
        open_ones = [one for one in open_ones if still_open(one[0]) and one[0].send(next(one[1]))]
        assert rest.ok("PUT", f"/v1/devices/{device}/ping")["online"] is True
        assert rest.ok("GET", f"/v1/devices/{device}")["connected"] is True
        asked += 1
        time.sleep(0.5)
    assert not open_ones, f"{len(open_ones)} slow connections are still there"
    assert rest.device(device)["notes"] is None and asked > 20
    for wire, _ in slow:
        wire.close()
    swarm.finish()


def still_open(wire):
    wire.socket.setblocking(False)
    try:
        wire.socket.recv(1, socket.MSG_PEEK)
        return False  # its end, or an answer
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        wire.socket.setblocking(True)


def raise_file_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return max(soft, most)


def test_ten_thousand_connections(cyand, admin, new_swarm):
    """From many addresses at once, so that only the limit of all counts. Devices go on; afterwards all is as before."""
    swarm = new_swarm(cyand, devices=5, event_interval_ms=200).wait_connected(5)
    count = min(10_000, raise_file_limit(10_600) - 600)
    before = open_files(cyand)
    resident = cyand.resident_bytes()
    selector = selectors.DefaultSelector()
    ask = request(path="/health", headers=["Connection: close"])
    made, most, answered = [], 0, 0
    acked = swarm.count_acked()
    for i in range(count):
        one = socket.socket()
        one.setblocking(False)
        one.bind((f"127.1.{i // 250 % 250}.{i % 250 + 1}", 0))
        one.connect_ex(("127.0.0.1", cyand.http_port))
        made.append(one)
        if i % 250 == 0:
            most = max(most, open_files(cyand))
    for one in made:
        try:
            one.send(ask)
        except OSError:
            pass
    wait_until(lambda: swarm.count_acked() > acked + 50, "devices publish meanwhile")
    most = max(most, open_files(cyand))
    for one in made:
        selector.register(one, selectors.EVENT_READ)
    until = time.monotonic() + 30
    open_count = len(made)
    while open_count and time.monotonic() < until:
        ready = selector.select(1)
        for key, _ in ready:
            try:
                text = key.fileobj.recv(4096)
            except OSError:
                text = b""
            if text:
                assert text.startswith(b"HTTP/1.1 200 "), text
                answered += 1
            selector.unregister(key.fileobj)
            key.fileobj.close()
            open_count -= 1
        if not ready:
            break
    for one in made:
        one.close()
    assert answered > 0 and most <= before + CONNECTIONS_MAX + 50, (answered, most, before)
    wait_until(lambda: open_files(cyand) <= before, lambda: f"{open_files(cyand)} descriptors, {before} before", 90)
    cyand.anonymous().ok("GET", "/health")
    assert SANITIZED or cyand.resident_bytes() < resident + 64 * 1024 * 1024
    assert not swarm.finish()["protocol_errors"]
