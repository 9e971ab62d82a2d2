"""A module binary is uploaded, looked at, kept as it is, put into releases and withdrawn; what is no module is refused with the
exact reason."""

import hashlib
import http.client
import random
import struct
import threading
import zlib

import pytest

from harness.cyand import run_cyand
from harness.firmware import (ARGON, BORON, COMBINED, CORE, DROP_HEADER, EXTENSION_NAME, NCP_ESP32, P2, PHOTON, TRACKER, combined,
                              compressed, core_image, extension, header_of, module, real_firmware, resealed)
from harness.waiting import wait_until

MAX_BYTES = 2 << 20


@pytest.fixture
def rest(cyand):
    return cyand.rest()


def uploaded(rest, data, **options):
    answer = rest.upload("/v1/firmware", data, **options)
    assert answer.status == 201, answer
    return answer.json["firmware"]


def refused(rest, data):
    answer = rest.upload("/v1/firmware", data)
    assert answer.status == 400, answer
    return answer.json["error"]


# --- uploads ---

def test_an_upload_says_what_is_in_the_file(rest):
    data = module(ARGON, "s", 1, 6200, needs=[("b", 0, 3100), ("a", 0, 202)], size=600_000)
    f = uploaded(rest, data, file_name="argon-system-part1@6.2.0.bin")
    sha256 = hashlib.sha256(data).hexdigest()
    assert f == {
        "id": f["id"], "platform_id": 12, "platform": "Argon", "function": "s", "function_name": "system part", "index": 1,
        "mcu": 0, "version": 6200, "size_bytes": 600_000, "sha256": sha256, "suffix_sha256": data[-38:-6].hex(), "flags": [],
        "dependencies": [{"f": "b", "n": 0, "v": 3100}, {"f": "a", "n": 0, "v": 202}], "combined": [], "product_id": None,
        "product_version": None, "file_name": "argon-system-part1@6.2.0.bin", "status": "active", "withdrawn_reason": None,
        "uploaded_by": f["uploaded_by"], "uploaded_at": f["uploaded_at"], "releases": []}
    assert rest.ok("GET", f"/v1/firmware/{f['id']}")["firmware"] == f

    binary = rest.get(f"/v1/firmware/{f['id']}/binary")
    assert (binary.status, binary.body) == (200, data)
    assert binary.headers["Content-Type"] == "application/octet-stream"
    assert binary.headers["Content-Disposition"] == 'attachment; filename="argon-system-part1@6.2.0.bin"'


def test_every_kind_of_module_is_taken(rest):
    radio = module(ARGON, "a", 0, 202, size=150_000, flags=DROP_HEADER)
    system = module(BORON, "s", 1, 6200, size=300_000)
    cases = [
        (module(PHOTON, "s", 2, 2302, needs=[("s", 1, 2302)], size=250_001), {"platform": "Photon", "index": 2, "mcu": 0}),
        (module(P2, "b", 0, 2400, needs=[("b", 2, 7)]), {"platform": "P2", "function": "b"}),
        (module(ARGON, "c", version=5), {"function": "c", "function_name": "network co-processor", "mcu": NCP_ESP32}),
        (module(TRACKER, "u", 2, 6, product=(12345, 7), extensions=[extension(EXTENSION_NAME, b"app"), extension(0)]),
         {"product_id": 12345, "product_version": 7}),
        (module(CORE, "m", version=0, product=(5, 10)), {"platform": "Core", "function": "m", "product_id": 5}),
        (core_image(), {"platform": "Core", "function": "m", "version": 0, "suffix_sha256": None, "size_bytes": 88_000}),
        (compressed(system), {"platform": "Boron", "flags": ["compressed"], "version": 6200}),
        (compressed(system, window_bits=10), {"flags": ["compressed"]}),
        (combined(radio, module(ARGON, "s", 1, 6200)),
         {"function": "a", "flags": ["drop_header", "combined"], "combined": [{"f": "s", "n": 1, "v": 6200}]}),
        (module(60000, "u", 1, 1), {"platform_id": 60000, "platform": None}),
    ]
    for data, expected in cases:
        f = uploaded(rest, data)
        assert {key: f[key] for key in expected} == expected
        assert rest.get(f"/v1/firmware/{f['id']}/binary").body == data


def test_real_images_are_read_right(rest):
    folder = real_firmware()
    if folder is None:
        pytest.skip("no images of real devices on this machine")
    seen = {}
    for path in sorted(folder.glob("*.bin")):
        data = path.read_bytes()
        f = uploaded(rest, data, file_name=path.name)
        assert rest.get(f"/v1/firmware/{f['id']}/binary").body == data
        seen[path.name] = (f["platform"], f["function"], f["index"], f["version"], f["mcu"])
    assert seen["argon-ncp-firmware-0.0.5-ota.bin"] == ("Argon", "c", 0, 5, NCP_ESP32)
    assert seen["argon-softdevice-6.1.1.bin"] == ("Argon", "a", 0, 182, 0)
    assert seen["044_Core_Tinker_P5_V10.bin"] == ("Core", "m", 0, 0, 0)
    assert seen["boron-som-system-part1@1.1.0-rc.1.bin"] == ("B SoM", "s", 1, 1100, 0)


def test_the_same_file_again_is_the_same_firmware(rest, postgres, database):
    data = module(BORON, "u", 1, 3, size=70_000)
    first = uploaded(rest, data, file_name="first.bin")
    again = rest.upload("/v1/firmware", data, file_name="again.bin")
    assert (again.status, again.json["firmware"]) == (200, first)
    # many at once are one, too
    other = module(BORON, "u", 1, 4, size=500_000)
    answers = []
    uploads = [threading.Thread(target=lambda: answers.append(rest.upload("/v1/firmware", other))) for _ in range(8)]
    for upload in uploads:
        upload.start()
    for upload in uploads:
        upload.join()
    assert sorted(a.status for a in answers) == [200] * 7 + [201]
    assert len({a.json["firmware"]["id"] for a in answers}) == 1
    assert postgres.query("SELECT count(*) FROM module_content", database) == [["2"]]
    assert postgres.query("SELECT count(*) FROM audit WHERE action = 'firmware.upload'", database) == [["2"]]
    # the same version with other bytes is another binary
    assert uploaded(rest, module(BORON, "u", 1, 3, size=70_000, seed="rebuilt"))["id"] != first["id"]


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 65_536, None])
def test_a_file_may_come_in_any_pieces(rest, chunk_bytes):
    data = module(P2, "u", 1, 3, size=3000 if chunk_bytes == 1 else 400_000)
    f = uploaded(rest, data, chunk_bytes=chunk_bytes, fields={"comment": "beside it"})
    assert rest.get(f"/v1/firmware/{f['id']}/binary").body == data


def test_the_largest_file_fits_and_one_byte_more_does_not(rest):
    data = module(P2, "s", 1, 6200, size=MAX_BYTES)
    f = uploaded(rest, data)
    assert rest.get(f"/v1/firmware/{f['id']}/binary").body == data
    for chunk_bytes in (None, 100_000):
        answer = rest.upload("/v1/firmware", data + b"\0", chunk_bytes=chunk_bytes)
        assert answer.status == 413
        assert answer.json["error"] == "The file is too large: at most 2097152 bytes are taken."
    # announced by a client that waits for our word: refused without a byte of it
    connection = http.client.HTTPConnection("127.0.0.1", rest.port, timeout=40)
    connection.putrequest("POST", "/v1/firmware")
    for name, value in [("Authorization", f"Bearer {rest.token}"), ("Content-Type", "multipart/form-data; boundary=x"),
                        ("Content-Length", str(10 << 20)), ("Expect", "100-continue")]:
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# --- refusals ---

def test_what_is_no_module_is_refused_with_the_reason(rest, postgres, database):
    good = module(ARGON, "s", 1, 6200, size=20_000)
    header_at, fields = header_of(good)
    radio = module(ARGON, "a", 0, 202, size=1000)

    def changed(*changes):
        return resealed(good, changes)

    bad_hash = bytearray(good)
    bad_hash[5000] ^= 1
    bad_hash[-4:] = struct.pack(">I", zlib.crc32(bad_hash[:-4]))
    damaged = bytearray(good)
    damaged[5000] ^= 1
    noise = random.Random(1).randbytes(5000)
    for data, reason in [
        (b"", "the file is empty"),
        (b"\0" * 500, "there is no module header at offset 0, 0x20, 0x10c, 0x184 or 0x200"),
        (noise, "there is no module header at offset"),
        (b"<html>404</html>" * 9, "there is no module header at offset"),
        (good[:-1000], "by its header at offset 0x200 the module has 20000 bytes, but there are 19000: is the file cut off?"),
        (good + b"\0" * 3, "by its header at offset 0x200 the module has 20000 bytes, but 3 more follow, which it does not announce"),
        (bytes(damaged), f"its CRC-32 is {zlib.crc32(good[:-4]):08x}, that of its 20000 bytes is {zlib.crc32(damaged[:-4]):08x}"),
        (bytes(bad_hash), "the SHA-256 in its suffix is not that of its bytes"),
        (changed((header_at + 14, b"\x63")), "module function 99 is none of 1 to 9"),
        (changed((header_at + 9, b"\x80")), "module flags 0x80: 0x80 has no known meaning"),
        (changed((header_at + 16, b"\x0b")), "it depends on module function 11, which is none of 1 to 9"),
        (changed((len(good) - 6, b"\x20\x00")), "its suffix has a size of 32 bytes; at least 36 are needed"),
        (changed((header_at + 9, bytes([COMBINED]))), "its header announces another module behind byte 20000, where the file ends"),
        (combined(radio, bytes(damaged)), "the second module, at byte 1000: its CRC-32 is"),
        (combined(radio, radio, radio), "its second module announces a third one; devices take 2 of a file"),
        (combined(radio, module(BORON, "s", 1, 6200)), "its modules are for different platforms: 12 and 13"),
        (compressed(good, original_bytes=19_999), "it says that it becomes 19999 bytes, but becomes more"),
        (compressed(good, original_bytes=20_001), "it says that it becomes 20001 bytes, but becomes 20000"),
        (compressed(good, original_bytes=1 << 31), "it says that it becomes 2147483648 bytes; 1 to 2097152 are possible"),
        (compressed(good, method=1), "compression method 1 is not known; devices know 0"),
        (compressed(module(ARGON, "b", 0, 1)), "it is compressed, which devices take of system parts, user parts and assets"),
        (compressed(bytes(damaged)), "what it becomes: its CRC-32 is"),
        (resealed(compressed(good), [(10, b"\x39\x30")]), "it becomes another module: platform 12, function 4, index 1, version 6200"),
    ]:
        error = refused(rest, data)
        assert error.startswith("The file is refused: ") and reason in error, f"{reason}: {error}"
    assert postgres.query("SELECT count(*) FROM module_content", database) == [["0"]]
    assert rest.ok("GET", "/v1/firmware")["firmware"] == []


def test_an_upload_is_one_file_named_file(rest):
    data = module(BORON, "u", 1, 1)
    words = "Send the module binary as part `file` of multipart/form-data, with a file name."
    for answer in (rest.upload("/v1/firmware", data, field="firmware"), rest.post("/v1/firmware", {"file": "x"}),
                   rest.request("POST", "/v1/firmware", body=data, headers={"Content-Type": "application/octet-stream"})):
        assert answer.status == 400
    assert rest.upload("/v1/firmware", data, field="firmware").json["error"] == words
    assert rest.post("/v1/firmware", {"file": "x"}).json["error"] == words
    boundary = {"Content-Type": "multipart/form-data"}
    assert "boundary" in rest.request("POST", "/v1/firmware", body=data, headers=boundary).json["error"]
    part = b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + data + b"\r\n"
    with_boundary = {"Content-Type": "multipart/form-data; boundary=bound"}
    twice = rest.request("POST", "/v1/firmware", body=part * 2 + b"--bound--\r\n", headers=with_boundary)
    assert (twice.status, twice.json["error"]) == (400, "The form has more than one file.")
    cut = rest.request("POST", "/v1/firmware", body=part[:-100], headers=with_boundary)
    assert (cut.status, cut.json["error"][:21]) == (400, "The form is malformed")


def test_who_may_not_is_told_before_and_after_the_file(cyand, rest):
    data = module(BORON, "s", 1, 1, size=900_000)
    owner = cyand.rest("owner", "somebody")
    assert owner.upload("/v1/firmware", data).status == 403
    assert rest.with_token("f" * 40).upload("/v1/firmware", data).status == 401
    assert rest.with_token(None).upload("/v1/firmware", data, chunk_bytes=10_000).status == 400
    for method, path in [("GET", "/v1/firmware"), ("GET", "/v1/firmware/1"), ("GET", "/v1/firmware/1/binary"),
                         ("POST", "/v1/firmware/1/withdraw"), ("GET", "/v1/releases"), ("POST", "/v1/releases"),
                         ("PUT", "/v1/releases/1"), ("POST", "/v1/releases/1/publish"), ("POST", "/v1/releases/1/withdraw")]:
        assert owner.request(method, path).status == 403, path
    operator = cyand.rest("operator", "else")
    assert operator.upload("/v1/firmware", data).json["firmware"]["uploaded_by"] == "else"


# --- list, withdraw ---

def test_the_list_is_filtered_and_paged(rest):
    for version in range(1, 6):
        uploaded(rest, module(BORON, "u", 1, version))
    system = uploaded(rest, module(ARGON, "s", 1, 6200))
    rest.ok("POST", f"/v1/firmware/{system['id']}/withdraw", {"reason": "it hangs"})
    page = rest.ok("GET", "/v1/firmware?page=2&per_page=4")
    assert [f["version"] for f in page["firmware"]] == [2, 1]
    assert page["meta"] == {"page": 2, "per_page": 4, "total_records": 6, "total_pages": 2}
    assert rest.ok("GET", "/v1/firmware?page=3&per_page=4") == {
        "firmware": [], "meta": {"page": 3, "per_page": 4, "total_records": 6, "total_pages": 2}}
    assert [f["id"] for f in rest.ok("GET", "/v1/firmware?platform_id=12")["firmware"]] == [system["id"]]
    assert [f["id"] for f in rest.ok("GET", "/v1/firmware?function=s")["firmware"]] == [system["id"]]
    assert len(rest.ok("GET", "/v1/firmware?function=u&status=active")["firmware"]) == 5
    assert rest.ok("GET", "/v1/firmware?status=withdrawn")["meta"]["total_records"] == 1
    for query in ("platform_id=x", "function=system", "function=", "status=gone", "page=0", "per_page=1001"):
        assert rest.get(f"/v1/firmware?{query}").status == 400, query
    for path in ("/v1/firmware/0", "/v1/firmware/99999", "/v1/firmware/x", "/v1/firmware/99999/binary",
                 "/v1/firmware/123456789012345678901"):
        answer = rest.get(path)
        assert (answer.status, answer.json["error"]) == (404, "Firmware not found."), path


def test_withdrawn_stays_withdrawn(rest, postgres, database):
    data = module(BORON, "b", 0, 3000)
    f = uploaded(rest, data)
    path = f"/v1/firmware/{f['id']}"
    assert rest.post(path + "/withdraw").status == 400
    assert rest.post(path + "/withdraw", {"reason": ""}).status == 400
    assert rest.post("/v1/firmware/999/withdraw", {"reason": "x"}).status == 404
    gone = rest.ok("POST", path + "/withdraw", {"reason": "It bricks \u00bd of them."})["firmware"]
    assert (gone["status"], gone["withdrawn_reason"]) == ("withdrawn", "It bricks \u00bd of them.")
    # once more, and a new upload of the file, change nothing
    assert rest.ok("POST", path + "/withdraw", {"reason": "other"})["firmware"] == gone
    again = rest.upload("/v1/firmware", data)
    assert (again.status, again.json["firmware"]) == (200, gone)
    assert rest.get(path + "/binary").body == data
    rows = postgres.query("SELECT actor, reason, before ->> 'status', after ->> 'status' FROM audit WHERE action = "
                          "'firmware.withdraw'", database)
    assert rows == [[gone["uploaded_by"], "It bricks \u00bd of them.", "active", "withdrawn"]]


# --- releases ---

@pytest.fixture
def parts(rest):
    return {name: uploaded(rest, data)["id"] for name, data in {
        "argon": module(ARGON, "s", 1, 6200), "argon again": module(ARGON, "s", 1, 6101), "boot": module(ARGON, "b", 0, 3100),
        "ncp": module(ARGON, "c", 0, 5), "radio and system": combined(module(ARGON, "a", 0, 202), module(ARGON, "s", 1, 6200)),
        "boron": module(BORON, "s", 1, 6200)}.items()}


def test_a_release_is_drafted_published_and_never_changes(rest, parts, postgres, database):
    made = rest.post("/v1/releases", {"name": "2026.11", "notes": "autumn", "targets": [parts["argon"], parts["boron"]],
                                      "stepping_stones": [parts["argon again"]]})
    assert made.status == 201
    release = made.json["release"]
    assert (release["name"], release["state"], release["notes"], release["published_at"]) == ("2026.11", "draft", "autumn", None)
    assert {(m["module_id"], m["role"], m["platform"], m["function"], m["index"], m["version"], m["status"])
            for m in release["modules"]} == {(parts["argon"], "target", "Argon", "s", 1, 6200, "active"),
                                             (parts["boron"], "target", "Boron", "s", 1, 6200, "active"),
                                             (parts["argon again"], "stepping_stone", "Argon", "s", 1, 6101, "active")}
    assert all(m["size_bytes"] == 4096 and m["platform_id"] in (12, 13) for m in release["modules"])

    edited = rest.ok("PUT", f"/v1/releases/{release['id']}", {"notes": None, "targets": [parts["argon"], parts["ncp"]]})["release"]
    assert edited["notes"] is None and {m["module_id"] for m in edited["modules"]} == {parts["argon"], parts["ncp"]}
    assert rest.ok("PUT", "/v1/releases/2026.11", {"name": "2026.12"})["release"]["name"] == "2026.12"

    published = rest.ok("POST", "/v1/releases/2026.12/publish")["release"]
    assert published["state"] == "published" and published["published_at"].endswith("Z")
    assert rest.ok("POST", "/v1/releases/2026.12/publish")["release"] == published
    refused_edit = rest.put("/v1/releases/2026.12", {"targets": []})
    assert (refused_edit.status, refused_edit.json["error"]) == (409, "Release 2026.12 is published: only a draft can be changed.")
    assert rest.ok("GET", "/v1/releases/2026.12")["release"] == published
    assert rest.ok("GET", f"/v1/releases/{release['id']}")["release"] == published
    assert rest.ok("GET", f"/v1/firmware/{parts['argon']}")["firmware"]["releases"] == ["2026.12"]

    assert rest.post("/v1/releases/2026.12/withdraw").status == 400
    gone = rest.ok("POST", "/v1/releases/2026.12/withdraw", {"reason": "a mistake"})["release"]
    assert (gone["state"], gone["withdrawn_reason"]) == ("withdrawn", "a mistake")
    back = rest.post("/v1/releases/2026.12/publish")
    assert (back.status, back.json["error"]) == (409, "Release 2026.12 is withdrawn: a mistake")
    actions = postgres.query("SELECT action, actor FROM audit WHERE target LIKE 'release %' ORDER BY id", database)
    assert [a for a, _ in actions] == ["release.create", "release.edit", "release.edit", "release.publish", "release.withdraw"]
    assert len({who for _, who in actions}) == 1
    assert rest.ok("GET", "/v1/releases")["meta"]["total_records"] == 1


def test_what_cannot_be_published_says_why(rest, parts):
    def draft(name, targets, stones=()):
        assert rest.post("/v1/releases", {"name": name, "targets": [parts[t] for t in targets],
                                          "stepping_stones": [parts[s] for s in stones]}).status == 201
        answer = rest.post(f"/v1/releases/{name}/publish")
        return answer.status, answer.json.get("error")

    assert draft("empty", []) == (409, "The release has no target.")
    assert draft("twice", ["argon", "argon again"]) == (
        409, f"Firmware {parts['argon']} and {parts['argon again']} would both be the target for platform 12, function 4, index 1.")
    assert draft("hidden", ["argon", "radio and system"])[1].endswith("would both be the target for platform 12, function 4, index 1.")
    assert draft("stones", ["argon", "boron", "boot", "ncp"], ["argon again"])[0] == 200
    rest.ok("POST", f"/v1/firmware/{parts['boot']}/withdraw", {"reason": "slow"})
    assert draft("stone", ["argon"], ["boot"]) == (409, f"Firmware {parts['boot']} is withdrawn: slow")
    assert draft("target", ["boot"]) == (409, f"Firmware {parts['boot']} is withdrawn: slow")
    # what was published before says so of its module
    module_row = next(m for m in rest.ok("GET", "/v1/releases/stones")["release"]["modules"] if m["function"] == "b")
    assert module_row["status"] == "withdrawn"


def test_bad_releases_are_refused(rest, parts):
    a = parts["argon"]
    assert rest.post("/v1/releases", {"name": "a", "targets": [a]}).status == 201
    assert rest.post("/v1/releases", {"name": "b"}).status == 201
    for body, status, words in [
        ({}, 400, "name"), ({"name": ""}, 400, "name"), ({"name": "123"}, 400, "digits"), ({"name": "x" * 65}, 400, "64"),
        ({"name": "a/b"}, 400, "slash"), ({"name": 5}, 400, "name"), ({"name": "c", "notes": 5}, 400, "notes"),
        ({"name": "c", "targets": a}, 400, "targets must be a list"), ({"name": "c", "targets": ["x"]}, 400, "targets must be a list"),
        ({"name": "c", "targets": [-1]}, 400, "targets must be a list"),
        ({"name": "c", "targets": list(range(1, 300))}, 400, "at most 256"),
        ({"name": "c", "targets": [99999]}, 400, "There is no firmware 99999."),
        ({"name": "c", "targets": [a], "stepping_stones": [a]}, 400, f"Firmware {a} is named twice."),
        ({"name": "a"}, 409, "There is a release a already."),
    ]:
        answer = rest.post("/v1/releases", body)
        assert answer.status == status and words in answer.json["error"], f"{body}: {answer}"
    assert rest.put("/v1/releases/b", {"name": "a"}).status == 409
    assert rest.put("/v1/releases/b", {"targets": [99999]}).status == 400
    assert [r["name"] for r in rest.ok("GET", "/v1/releases")["releases"]] == ["b", "a"]
    for method, path in [("GET", "/v1/releases/nobody"), ("PUT", "/v1/releases/nobody"), ("POST", "/v1/releases/77/publish")]:
        answer = rest.request(method, path, {})
        assert (answer.status, answer.json["error"]) == (404, "Release not found."), path


def test_postgres_away_is_said(own_postgres, new_cyand):
    database = own_postgres.create_database()
    assert run_cyand("migrate", "--store-postgres", own_postgres.conninfo(database)).returncode == 0
    rest = new_cyand(cluster=own_postgres, database=database).rest()
    data = module(BORON, "s", 1, 6200, size=300_000)
    f = uploaded(rest, data)
    assert rest.get(f"/v1/firmware/{f['id']}/binary").body == data
    own_postgres.kill()
    assert rest.upload("/v1/firmware", module(BORON, "s", 1, 6201)).status == 503
    assert rest.get(f"/v1/firmware/{f['id']}/binary").status == 503
    own_postgres.start()
    wait_until(lambda: rest.upload("/v1/firmware", data).status == 200, "the server has Postgres again")
    assert rest.get(f"/v1/firmware/{f['id']}/binary").body == data
