"""cyanctl and the firmware of products: what it shows, and the line and exit code of what goes wrong."""

import re

import pytest

from harness.ctl import Ctl
from harness.firmware import ARGON, module
from harness.products import Product

OK, REFUSED, USAGE, AWAY, NOT_LOGGED_IN, NOT_FOUND, CONFLICT = range(7)


@pytest.fixture
def product(cyand):
    return Product(cyand, groups=("beta", "late"))


@pytest.fixture
def ctl(product, tmp_path):
    return Ctl(tmp_path / "home", f"http://127.0.0.1:{product.cyand.http_port}", product.rest.token)


@pytest.fixture
def binary(product, tmp_path):
    """Call it with a version to get a file."""

    def make(version, data=None):
        path = tmp_path / f"app-{version}.bin"
        path.write_bytes(data or product.application(version))
        return path

    return make


def test_products_are_listed_and_shown(product, ctl):
    lines = ctl.ok("product", "list").splitlines()
    assert lines[0].split() == ["ID", "SLUG", "PLATFORM", "OWNER", "GROUPS", "DESCRIPTION"]
    assert lines[1].split()[:4] == [str(product.id), "toaster", "Argon", "ora"] and "beta, late" in lines[1]
    assert ctl.json("product", "list") == product.rest.ok("GET", "/v1/products")["products"]
    for which in ("toaster", product.id):
        shown = ctl.ok("product", "show", which)
        assert re.search(r"^slug +toaster$", shown, re.M) and re.search(r"^platform +Argon$", shown, re.M), shown
    assert ctl.json("product", "show", "toaster") == product.rest.ok("GET", product.path)["product"]
    ctl.refused(NOT_FOUND, "product", "show", "kettle", says="Product not found")
    ctl.refused(USAGE, "product", "show")
    stranger = Ctl(ctl.home, ctl.env["CYAN_URL"], product.cyand.rest("owner", "stranger").token)
    assert "no product" in stranger.ok("product", "list")
    stranger.refused(REFUSED, "product", "firmware", "list", "toaster")


def test_a_version_is_uploaded_and_released(product, ctl, binary):
    assert "There is none" in ctl.ok("product", "firmware", "list", "toaster")
    said = ctl.ok("product", "firmware", "upload", "toaster", binary(7), "--version", 7, "--title", "Less smoke", "--mandatory")
    assert "is version 7 of toaster" in said
    made = ctl.json("product", "firmware", "upload", "toaster", binary(8), "--version", 8, "--description", "and less heat")
    assert (made["version"], made["title"], made["description"], made["mandatory"]) == (8, "", "and less heat", False)
    product.cyand.query("INSERT INTO device (id, platform_id, in_product, product_id, product_version) SELECT"
                        " decode(lpad(to_hex(n), 24, '0'), 'hex'), 12, "
                        f"{product.id}, {product.id}, 7 FROM generate_series(1, 3) n")
    preview = ctl.ok("product", "firmware", "release", "toaster", 8, "--default", "--dry-run")
    assert "3 devices would get version 8" in preview and re.search(r"^ *7 +3$", preview, re.M), preview
    impact = ctl.json("product", "firmware", "release", "toaster", 8, "--group", "beta", "--dry-run")
    assert impact["devices"]["firmware_update"] == {"total": 0, "by_version": []}
    assert "when they connect next" in ctl.ok("product", "firmware", "release", "toaster", 7, "--default")
    released = ctl.json("product", "firmware", "release", product.id, 8, "--group", "beta", "--group", "late", "--now")
    assert released["groups"] == ["beta", "late"] and released["intelligent"] is True
    rows = ctl.ok("product", "firmware", "list", "toaster").splitlines()
    assert rows[0].split() == ["VERSION", "TITLE", "DEVICES", "RELEASED", "TO", "SIZE", "UPLOADED", "FILE"]
    assert re.match(r" *8 +- +0 +beta, late +", rows[1]) and re.match(r" *7 +Less smoke +3 +all +", rows[2]), rows
    assert ctl.json("product", "firmware", "list", "toaster") == product.rest.ok("GET", f"{product.path}/firmware")


def test_what_goes_wrong_is_one_line(ctl, binary, tmp_path):
    good = binary(7)
    ctl.refused(USAGE, "product", "firmware", "upload", "toaster", good, says="--version")
    ctl.refused(USAGE, "product", "firmware", "upload", "toaster", good, "--version", 0, says="--version")
    ctl.refused(USAGE, "product", "firmware", "upload", "toaster", tmp_path / "none.bin", "--version", 7, says="none.bin")
    ctl.refused(REFUSED, "product", "firmware", "upload", "toaster", good, "--version", 8, says="it is version 7 of its product")
    ctl.refused(REFUSED, "product", "firmware", "upload", "toaster", binary(9, module(ARGON, "s", 1, 6200)), "--version", 9,
                says="not a user application")
    ctl.refused(NOT_FOUND, "product", "firmware", "upload", "kettle", good, "--version", 7, says="Product not found")
    ctl.ok("product", "firmware", "upload", "toaster", good, "--version", 7)
    ctl.refused(USAGE, "product", "firmware", "release", "toaster", 7, says=["--default", "--group"])
    ctl.refused(USAGE, "product", "firmware", "release", "toaster", "seven", "--default", says="seven")
    ctl.refused(REFUSED, "product", "firmware", "release", "toaster", 7, "--group", "none", says="no group none")
    ctl.refused(NOT_FOUND, "product", "firmware", "release", "toaster", 9, "--default", says="Firmware version not found")
    other = tmp_path / "other.bin"
    other.write_bytes(good.read_bytes()[:-1] + b"x")
    ctl.refused(REFUSED, "product", "firmware", "upload", "toaster", other, "--version", 7, says="CRC")
    assert "--group" in ctl.ok("product", "firmware", "release", "--help")
