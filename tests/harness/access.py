"""Who may do what: people with one role each, what belongs to whom, and requests made from the route table."""

import http.client
import json
import re
import urllib.parse

# What each part of a path is filled with, by what is asked for: one's own (ana's) or a foreign one's (bob's). A part that is not
# here has no rule: the test fails until somebody says what it means.
OWN, FOREIGN, MIXED = "own", "foreign", "a foreign device under one's own product"
DEVICE = {OWN: "a1" * 12, FOREIGN: "b2" * 12, MIXED: "b2" * 12}
VALUES = {
    "device": DEVICE,
    "product": {OWN: "1001", FOREIGN: "1002", MIXED: "1001"},
}
# Parts that only tell which one of a thing: they never decide who may. The latter name what is not there.
SAME = {"group": "beta", "version": "1", "username": "vera", "release": "2026.11", "firmware": "1", "code": "argon-ncp-5"}
NOWHERE = {"campaign": "autumn", "stage": "0", "function": "brew", "variable": "heat", "update": "1", "token": "f" * 40,
           "client": "nobody", "action": "1", "integration": "1", "serial": "ARGN000", "transfer": "0" * 24, "prefix": "kitchen",
           "binary": "1", "library": "none", "os_version": "9.9.9"}

# Where a query must have it.
QUERY = {"release": "2026.11", "action": "edit_groups_for_firmware", "firmware_version": "1"}

ROLES = ("none", "dead", "owner", "stranger", "viewer", "manager", "operator", "admin", "scopeless", "confined")

PEOPLE = {"owner": "ana", "stranger": "bob", "viewer": "vera", "manager": "manu", "operator": "olga", "admin": "adam",
          "scopeless": "ana", "confined": "ana"}

# Who sees what of a product, by the method. `team` is everybody who manages it.
OWNER_OF = {OWN: "owner", FOREIGN: "stranger", MIXED: "owner"}
SEES_ALL = ("operator", "admin")

SETUP = """
INSERT INTO users (name, role) VALUES ('ana', 'owner'), ('bob', 'owner'), ('vera', 'owner'), ('manu', 'owner')
  ON CONFLICT (name) DO NOTHING;
DELETE FROM product WHERE id IN (1001, 1002);
INSERT INTO product (id, slug, name, platform_id, owner_id) SELECT p.id, p.slug, p.slug, 12, u.id
  FROM (VALUES (1001, 'own', 'ana'), (1002, 'foreign', 'bob'), (1003, 'third', 'ana')) AS p (id, slug, owner)
  JOIN users u ON u.name = p.owner ON CONFLICT (id) DO NOTHING;
INSERT INTO product_member (product_id, user_id, role) SELECT 1001, id, CASE name WHEN 'vera' THEN 'view' ELSE 'manage' END
  FROM users WHERE name IN ('vera', 'manu');
INSERT INTO product_group (product_id, name) VALUES (1001, 'beta'), (1002, 'beta');
INSERT INTO module_content (sha256, data) VALUES (sha256('1'), '1') ON CONFLICT DO NOTHING;
INSERT INTO module_binary (id, platform_id, func, idx, version, sha256, size_bytes, uploaded_by) OVERRIDING SYSTEM VALUE
VALUES (1, 12, 5, 1, 1, sha256('1'), 1, 'seed') ON CONFLICT (id) DO UPDATE SET status = 'active', withdrawn_reason = NULL;
INSERT INTO product_firmware (product_id, version, module_id, uploaded_by) VALUES (1001, 1, 1, 'seed'), (1002, 1, 1, 'seed');
INSERT INTO release (name, state, created_by, published_at) VALUES ('2026.11', 'published', 'seed', now())
  ON CONFLICT (name) DO UPDATE SET state = 'published', published_at = now(), withdrawn_reason = NULL;
INSERT INTO device (id, name, owner_id, platform_id, in_product)
SELECT decode(d.id, 'hex'), d.name, u.id, 12, d.product
  FROM (VALUES ('{own}', 'kitchen', 'ana', 1001), ('{foreign}', 'cellar', 'bob', 1002)) AS d (id, name, owner, product)
  JOIN users u ON u.name = d.owner
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner_id = excluded.owner_id, in_product = excluded.in_product,
     notes = '', denied = false, quarantined = false, development = false;
""".format(**DEVICE)

# Everything but what changes by being looked at: refusals are noted, tokens say when they were used.
SNAPSHOT = """
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
   AND table_name NOT IN ('audit', 'event_reader') ORDER BY 1
"""


class World:
    def __init__(self, cyand):
        self.cyand = cyand
        self.session = cyand.postgres.session(cyand.database)
        self.rows = cyand.routes()
        self.document = cyand.document()
        self.restore()
        self.tokens = {"none": None, "dead": "f" * 40}
        for role in ROLES[2:]:
            self.renew(role)
        self.tables = [row[0] for row in self.session.query(SNAPSHOT)]

    def close(self):
        self.session.close()

    def restore(self):
        self.session.query(SETUP)

    def renew(self, role):
        """A new token for it."""
        kept = role if role in SEES_ALL else "owner"
        token = self.tokens[role] = self.cyand.create_token(kept, PEOPLE[role])
        mine = f"sha256 = sha256('{token}')"
        if role == "scopeless":
            self.session.query(f"UPDATE access_token SET scopes = ARRAY['nothing:nothing'] WHERE {mine}")
        if role == "confined":
            self.session.query(f"UPDATE access_token SET product_id = 1003 WHERE {mine}")

    def revive(self, role):
        """New tokens for who lost theirs by what this role did."""
        for other, person in PEOPLE.items():
            if person == PEOPLE.get(role) and self.ask({"method": "GET", "path": "/v1/access_tokens/current"}, other, OWN)[0] == 401:
                self.renew(other)

    def snapshot(self):
        parts = [f"SELECT '{table}', md5(coalesce(string_agg(j::text, E'\\n' ORDER BY j::text), '')) FROM"
                 f" (SELECT to_jsonb(t) - 'last_used_at' AS j FROM {table} t) x" for table in self.tables]
        return dict(map(tuple, self.session.query(" UNION ALL ".join(parts))))

    # --- requests ---

    def path(self, row, target):
        def fill(match):
            name = match.group(1)
            if name in VALUES:
                return VALUES[name][target]
            known = {**SAME, **NOWHERE}
            assert name in known, f"{row['method']} {row['path']}: say in harness/access.py what :{name} is"
            return known[name]

        return re.sub(r"[:*](\w+)", fill, row["path"])

    def ask(self, row, role, target):
        """The whole body, so that it would do something if it were allowed."""
        path = self.path(row, target)
        found = self.document.find(row["method"], path)
        schema = self.document.body_schema(found[1]) if found else None
        needed = {one["name"]: QUERY[one["name"]] for one in self.document.parameters(found, "query") if one.get("required")}
        path += "?" + urllib.parse.urlencode(needed) if needed else ""
        connection = http.client.HTTPConnection("127.0.0.1", self.cyand.http_port, timeout=60)
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if self.tokens[role] else {}
        body = None
        if schema is not None:
            headers["Content-Type"], body = "application/json", json.dumps(self.document.example(schema))
        try:
            connection.request(row["method"], path, body=body, headers=headers)
            response = connection.getresponse()
            is_stream = response.headers.get_content_type() == "text/event-stream"
            return response.status, response.headers, b"" if is_stream else response.read()
        finally:
            connection.close()
