-- How a device comes to belong to a person, or to another one: claim codes (see also 0001 and 0003) and transfers. Each call is
-- one transaction with its audit row.

ALTER TABLE claim_code ADD COLUMN product_id integer REFERENCES product ON DELETE CASCADE; -- NULL: good for every device
CREATE INDEX claim_code_user ON claim_code (user_id, expires_at);
CREATE INDEX claim_code_expires ON claim_code (expires_at);

-- digest: of the code, which is shown once and kept nowhere. most: unused codes a person may have; wait_s: not NULL when there
-- are that many, until one of them expires. devices: a JSON array of the ids of theirs, of a product those in it. The
-- same digest again is the same code.
CREATE FUNCTION create_claim_code(actor_id bigint, actor text, digest bytea, product integer, valid_ms bigint, most integer)
    RETURNS TABLE (wait_s integer, devices text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM users WHERE id = actor_id FOR NO KEY UPDATE; -- one after the other, so that the count holds
    DELETE FROM claim_code WHERE sha256 IN
        (SELECT sha256 FROM claim_code WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT 100
            FOR UPDATE SKIP LOCKED);
    SELECT ceil(extract(epoch FROM min(c.expires_at) - now()))::integer INTO wait_s FROM claim_code c
     WHERE c.user_id = actor_id AND c.expires_at > now() AND c.used_at IS NULL AND c.sha256 <> digest HAVING count(*) >= most;
    IF wait_s IS NULL THEN
        INSERT INTO claim_code (sha256, user_id, product_id, expires_at)
        VALUES (digest, actor_id, product, now() + valid_ms * interval '1 ms') ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO audit (actor, action, target, after)
            VALUES (actor, 'claim_code.create', 'user ' || actor, jsonb_build_object('product', product, 'valid_ms', valid_ms));
        END IF;
        SELECT coalesce(json_agg(encode(d.id, 'hex')), '[]')::text INTO devices
          FROM (SELECT id FROM device WHERE owner_id = actor_id AND (product IS NULL OR in_product = product)
                 ORDER BY last_handshake DESC NULLS LAST, id LIMIT 10000) d;
    END IF;
    RETURN NEXT;
END $$;

-- As in 0003; a code made for a product is good for its devices only.
CREATE OR REPLACE FUNCTION claim_by_code(dev bytea, code bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c claim_code;
    d device;
    who text;
BEGIN
    SELECT * INTO c FROM claim_code WHERE sha256 = sha256(code) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF c.used_by IS NOT NULL THEN
        RETURN c.used_by = dev;
    END IF;
    SELECT * INTO d FROM device WHERE id = dev FOR UPDATE;
    IF NOT FOUND OR d.quarantined OR c.expires_at <= now() OR d.owner_id <> c.user_id OR
       (c.product_id IS NOT NULL AND d.in_product IS DISTINCT FROM c.product_id) THEN
        RETURN false;
    END IF;
    UPDATE claim_code SET used_by = dev, used_at = now() WHERE sha256 = c.sha256;
    IF d.owner_id IS NULL THEN
        SELECT name INTO who FROM users WHERE id = c.user_id;
        UPDATE device SET owner_id = c.user_id, name = name_for_owner(dev, d.name, c.user_id) WHERE id = dev;
        INSERT INTO audit (actor, action, target, after, reason)
        VALUES (who, 'device.claim', encode(dev, 'hex'), jsonb_build_object('owner', who), 'claim code');
    END IF;
    RETURN true;
EXCEPTION WHEN unique_violation THEN -- the name was taken meanwhile: looked at again
    RAISE EXCEPTION 'named a moment ago' USING ERRCODE = 'serialization_failure';
END $$;

-- --- transfers ---

-- One who asks the owner of a device for it. Open is: asked, not expired, and the device is still the owner's.
--   asked -> accepted | denied (by the owner) | withdrawn (by who asked) | overtaken (the device went elsewhere, or it expired)
CREATE TABLE device_transfer (
    id bytea PRIMARY KEY CHECK (length(id) = 12),
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    from_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    to_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'accepted', 'denied', 'withdrawn', 'overtaken')),
    asked_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    CHECK ((state = 'asked') = (decided_at IS NULL))
);
CREATE UNIQUE INDEX device_transfer_open ON device_transfer (device_id, to_id) WHERE state = 'asked';
CREATE INDEX device_transfer_device ON device_transfer (device_id);
CREATE INDEX device_transfer_from ON device_transfer (from_id) WHERE state = 'asked';
CREATE INDEX device_transfer_to ON device_transfer (to_id) WHERE state = 'asked';
CREATE INDEX device_transfer_expires ON device_transfer (expires_at);

-- Asks for a device; one that nobody owns is claimed. code: 'ok', with the id of the transfer (of the one that is open already,
-- or NULL when the device is the actor's now), 'not found', 'forbidden', 'denied' (its owner said no not long ago), 'many'.
CREATE FUNCTION ask_transfer(actor_id bigint, actor text, sees_all boolean, dev bytea, new_id bytea, valid_ms bigint,
                             most_of_device integer, most_of_person integer)
    RETURNS TABLE (code text, id bytea) LANGUAGE plpgsql AS $$
DECLARE d device;
BEGIN
    PERFORM FROM users u WHERE u.id = actor_id FOR NO KEY UPDATE; -- one after the other, so that the counts hold
    SELECT * INTO d FROM device WHERE device.id = dev FOR UPDATE;
    IF NOT FOUND OR d.owner_id IS NULL OR d.owner_id = actor_id THEN
        code := (claim_device(actor_id, actor, sees_all, dev)).code;
        RETURN NEXT;
        RETURN;
    END IF;
    IF d.quarantined AND NOT sees_all THEN
        code := 'forbidden';
        RETURN NEXT;
        RETURN;
    END IF;
    DELETE FROM device_transfer t WHERE t.id IN
        (SELECT o.id FROM device_transfer o WHERE o.expires_at < now() - interval '90 days' ORDER BY o.expires_at LIMIT 100
            FOR UPDATE SKIP LOCKED);
    UPDATE device_transfer t SET state = 'overtaken', decided_at = now()
     WHERE t.device_id = dev AND t.state = 'asked' AND (t.expires_at <= now() OR t.from_id <> d.owner_id);
    SELECT t.id INTO id FROM device_transfer t WHERE t.device_id = dev AND t.to_id = actor_id AND t.state = 'asked';
    IF id IS NOT NULL THEN
        code := 'ok';
    ELSIF EXISTS (SELECT FROM device_transfer t WHERE t.device_id = dev AND t.to_id = actor_id AND t.from_id = d.owner_id
                     AND t.state = 'denied' AND t.decided_at > now() - valid_ms * interval '1 ms') THEN
        code := 'denied';
    ELSIF (SELECT count(*) FROM device_transfer t WHERE t.device_id = dev AND t.state = 'asked') >= most_of_device OR
          (SELECT count(*) FROM device_transfer t WHERE t.to_id = actor_id AND t.state = 'asked' AND t.expires_at > now())
              >= most_of_person THEN
        code := 'many';
    ELSE
        INSERT INTO device_transfer (id, device_id, from_id, to_id, expires_at)
        VALUES (new_id, dev, d.owner_id, actor_id, now() + valid_ms * interval '1 ms');
        INSERT INTO audit (actor, action, target, before, after)
        VALUES (actor, 'transfer.ask', encode(dev, 'hex'),
                jsonb_build_object('owner', (SELECT u.name FROM users u WHERE u.id = d.owner_id)),
                jsonb_build_object('transfer', encode(new_id, 'hex'), 'valid_ms', valid_ms));
        code := 'ok';
        id := new_id;
    END IF;
    RETURN NEXT;
END $$;

-- decision: 'accepted', 'denied' (of the owner, or of who sees all), 'withdrawn' (of who asked). 'ok', 'not found', 'forbidden',
-- 'over' when it is not open any more.
CREATE FUNCTION decide_transfer(actor_id bigint, actor text, sees_all boolean, which bytea, decision text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    t device_transfer;
    d device;
    new_name text;
BEGIN
    SELECT * INTO t FROM device_transfer WHERE id = which;
    IF NOT FOUND OR (NOT sees_all AND actor_id NOT IN (t.from_id, t.to_id)) THEN
        RETURN 'not found';
    ELSIF NOT sees_all AND actor_id <> (CASE WHEN decision = 'withdrawn' THEN t.to_id ELSE t.from_id END) THEN
        RETURN 'forbidden';
    END IF;
    SELECT * INTO d FROM device WHERE id = t.device_id FOR UPDATE;
    SELECT * INTO t FROM device_transfer WHERE id = which FOR UPDATE;
    IF d.id IS NULL OR t.id IS NULL OR t.state <> 'asked' OR t.expires_at <= now() OR d.owner_id IS DISTINCT FROM t.from_id THEN
        RETURN 'over';
    END IF;
    UPDATE device_transfer SET state = decision, decided_at = now() WHERE id = which;
    IF decision = 'accepted' THEN
        new_name := name_for_owner(d.id, d.name, t.to_id);
        UPDATE device SET owner_id = t.to_id, name = new_name WHERE id = d.id;
        UPDATE device_transfer SET state = 'overtaken', decided_at = now() WHERE device_id = d.id AND state = 'asked';
    END IF;
    INSERT INTO audit (actor, action, target, before, after)
    SELECT actor, CASE decision WHEN 'accepted' THEN 'transfer.accept' WHEN 'denied' THEN 'transfer.deny' ELSE 'transfer.withdraw' END,
           encode(d.id, 'hex'), jsonb_build_object('owner', f.name, 'name', d.name),
           jsonb_build_object('owner', CASE WHEN decision = 'accepted' THEN u.name ELSE f.name END,
                              'name', CASE WHEN decision = 'accepted' THEN new_name ELSE d.name END, 'transfer', encode(which, 'hex'))
      FROM users f, users u WHERE f.id = t.from_id AND u.id = t.to_id;
    RETURN 'ok';
EXCEPTION WHEN unique_violation THEN -- the name was taken meanwhile: looked at again
    RAISE EXCEPTION 'named a moment ago' USING ERRCODE = 'serialization_failure';
END $$;

-- What is open for a person to decide, and what they have asked for: a JSON array, newest first.
CREATE FUNCTION list_transfers(actor_id bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(json_build_object(
               'id', encode(t.id, 'hex'), 'device_id', encode(t.device_id, 'hex'), 'device_name', t.device_name, 'from', t.from_name,
               'to', t.to_name, 'incoming', t.from_id = actor_id, 'asked_at', to_ms(t.asked_at), 'expires_at', to_ms(t.expires_at))
               ORDER BY t.asked_at DESC, t.id), '[]')::text
      FROM (SELECT t.*, d.name AS device_name, f.name AS from_name, u.name AS to_name
              FROM device_transfer t JOIN device d ON d.id = t.device_id AND d.owner_id = t.from_id
              JOIN users f ON f.id = t.from_id JOIN users u ON u.id = t.to_id
             WHERE t.state = 'asked' AND t.expires_at > now() AND (t.from_id = actor_id OR t.to_id = actor_id)
             ORDER BY t.asked_at DESC, t.id LIMIT 1000) t
$$;
