"""A product with devices, groups and firmware, as tests of releases need one; and its applications."""

from .firmware import ARGON, module
from .waiting import wait_until

ENDED = ("succeeded", "already_current", "blocked", "failed", "lost", "cancelled", "superseded")


class Product:
    """Made in the database; what is done with its firmware is done over REST, by an owner of its own."""

    def __init__(self, cyand, slug="toaster", platform=ARGON, groups=()):
        self.cyand, self.slug, self.platform = cyand, slug, platform
        self.rest = cyand.rest("owner", "ora")
        self.id = int(cyand.query(f"""INSERT INTO product (slug, name, platform_id, owner_id)
            SELECT '{slug}', '{slug}', {platform}, id FROM users WHERE name = 'ora' RETURNING id""")[0][0])
        self.path = f"/v1/products/{self.id}"
        for group in groups:
            cyand.query(f"INSERT INTO product_group (product_id, name) VALUES ({self.id}, '{group}')")

    def take(self, *devices):
        for device in devices:
            self.set(device, f"in_product = {self.id}")

    def set(self, device, what):
        self.cyand.query(f"UPDATE device SET {what} WHERE id = '\\x{device}'")

    def group(self, device, *names):
        for name in names:
            self.cyand.query(f"INSERT INTO device_group VALUES ('\\x{device}', {self.id}, '{name}')")

    # --- firmware ---

    def application(self, version, size=20_000, **options):
        """A user application that says that it is this version of the product."""
        return module(self.platform, "u", 1, 6, size=size, product=(self.id, version), seed=f"v{version}", **options)

    def upload(self, version, data=None, **fields):
        """The firmware as the server answers with it."""
        answer = self.rest.upload(f"{self.path}/firmware", data or self.application(version),
                                  fields={"version": version, "title": f"v{version}", **fields})
        assert answer.status == 201, answer
        return answer.json

    def release(self, version, *groups, default=False, now=False):
        return self.rest.ok("PUT", f"{self.path}/firmware/release", {
            "version": version, "product_default": default, "groups": list(groups), "intelligent": now})

    def impact(self, version, *groups, default=False):
        query = f"action=edit_groups_for_firmware&firmware_version={version}&groups={','.join(groups)}&product_default={str(default).lower()}"
        return self.rest.ok("GET", f"{self.path}/impact?{query}")["devices"]["firmware_update"]

    # --- what became of it ---

    def updates(self, device):
        """Of the product, newest first, as the server tells them."""
        found = self.cyand.rest().ok("GET", f"/v1/devices/{device}/updates")["updates"]
        return [update for update in found if update["kind"] == "product"]

    def wait_update(self, device, *states, deadline_s=120):
        """Its newest update once it is in one of these states."""
        def there():
            updates = self.updates(device)
            assert not updates or updates[0]["state"] in states or updates[0]["state"] not in ENDED, updates[0]
            return updates[0] if updates and updates[0]["state"] in states else None

        return wait_until(there, lambda: f"{device} {states}: {self.updates(device)[:1]} {self.cyand.log(20)}", deadline_s,
                          every_s=0.2)

    def says(self, device):
        """The version that the device said in its Hello; None: not of this product."""
        rows = self.cyand.query(f"SELECT product_version FROM device WHERE id = '\\x{device}' AND product_id = {self.id}")
        return int(rows[0][0]) if rows else None
