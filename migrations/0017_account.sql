-- Accounts: passwords, tokens with scopes, clients that ask for tokens, locks after wrong passwords, product teams with their
-- API users, and refusals in the audit trail. Passwords are argon2id in PHC form; tokens, client secrets and refresh tokens are
-- random 160 bits, of which only the SHA-256 is kept.

ALTER TABLE users
    ADD COLUMN password text CHECK (password LIKE '$argon2id$%'), -- NULL: signs in by token alone
    ADD COLUMN password_at timestamptz,
    ADD COLUMN api_user_of integer REFERENCES product ON DELETE CASCADE, -- no person: what the token of a product acts as
    ADD COLUMN friendly_name text;
CREATE INDEX users_lower_name ON users (lower(name));
CREATE UNIQUE INDEX users_sign_in ON users (lower(name)) WHERE password IS NOT NULL;
CREATE INDEX users_api_user ON users (api_user_of) WHERE api_user_of IS NOT NULL;

ALTER TABLE access_token
    ADD COLUMN scopes text[], -- NULL: all that the role may
    ADD COLUMN product_id integer REFERENCES product ON DELETE CASCADE, -- good for this product alone
    ADD COLUMN family bigint; -- of tokens made from one sign-in by refreshing: the id of the first
CREATE INDEX access_token_family ON access_token (family) WHERE family IS NOT NULL;
CREATE INDEX access_token_product ON access_token (product_id) WHERE product_id IS NOT NULL;
CREATE INDEX access_token_revoked ON access_token (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX access_token_expires ON access_token (expires_at) WHERE expires_at IS NOT NULL;

-- Good once. One that comes again was stolen, or was its successor: then the whole family ends.
CREATE TABLE refresh_token (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    family bigint NOT NULL,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    client text,
    scopes text[],
    product_id integer REFERENCES product ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_token_family ON refresh_token (family);
CREATE INDEX refresh_token_user ON refresh_token (user_id);
CREATE INDEX refresh_token_expires ON refresh_token (expires_at);
CREATE INDEX refresh_token_product ON refresh_token (product_id) WHERE product_id IS NOT NULL;

-- A client gets tokens of the person who made it, or, for one of a product, tokens good for that product alone.
CREATE TABLE oauth_client (
    id text PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    product_id integer REFERENCES product ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    type text NOT NULL CHECK (type IN ('installed', 'web')),
    scopes text[],
    redirect_uri text,
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX oauth_client_user ON oauth_client (user_id) WHERE product_id IS NULL;
CREATE INDEX oauth_client_product ON oauth_client (product_id) WHERE product_id IS NOT NULL;

-- Wrong passwords in a row, by account and by address; hashed, because people type passwords where names belong.
CREATE TABLE sign_in_failure (
    subject bytea PRIMARY KEY CHECK (length(subject) = 32),
    failures integer NOT NULL,
    last_at timestamptz NOT NULL,
    locked_until timestamptz
);
CREATE INDEX sign_in_failure_last ON sign_in_failure (last_at);

-- Refusals are rows of the audit trail that stand for many: coalesced is the hash of who, what, status and window.
ALTER TABLE audit
    ADD COLUMN count bigint NOT NULL DEFAULT 1,
    ADD COLUMN last_at timestamptz,
    ADD COLUMN coalesced bytea;
CREATE UNIQUE INDEX audit_coalesced ON audit (coalesced) WHERE coalesced IS NOT NULL;
CREATE INDEX audit_refused ON audit (id) WHERE coalesced IS NOT NULL;
CREATE INDEX audit_actor ON audit (actor, id DESC);
CREATE INDEX audit_action ON audit (action, id DESC);

-- --- people ---

-- 'ok' or 'taken'. actor NULL: the person who signs up.
CREATE FUNCTION account_create(actor text, new_name text, new_password text, new_role text) RETURNS text
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM users WHERE lower(name) = lower(new_name)) THEN
        RETURN 'taken';
    END IF;
    INSERT INTO users (name, role, password, password_at) VALUES (new_name, new_role, new_password, now());
    INSERT INTO audit (actor, action, target, after)
    VALUES (coalesce(actor, new_name), 'user.create', 'user ' || new_name, jsonb_build_object('role', new_role));
    RETURN 'ok';
EXCEPTION WHEN unique_violation THEN
    RETURN 'taken';
END $$;

-- Ends every other sign-in, and a lock of the account. 'ok' or 'not found'.
CREATE FUNCTION account_set_password(actor text, uid bigint, new_password text, keep_token bigint) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    who text;
    ended bigint;
BEGIN
    UPDATE users SET password = new_password, password_at = now() WHERE id = uid AND api_user_of IS NULL RETURNING name INTO who;
    IF NOT FOUND THEN
        RETURN 'not found';
    END IF;
    UPDATE access_token SET revoked_at = now() WHERE user_id = uid AND id <> keep_token AND revoked_at IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    UPDATE refresh_token r SET revoked_at = now()
     WHERE r.user_id = uid AND r.revoked_at IS NULL
       AND r.family IS DISTINCT FROM (SELECT t.family FROM access_token t WHERE t.id = keep_token);
    DELETE FROM sign_in_failure s WHERE s.subject = (sign_in_subjects(who, ''))[1];
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'user.password', 'user ' || who, jsonb_build_object('tokens_ended', ended));
    RETURN 'ok';
END $$;

-- --- signing in ---

CREATE FUNCTION sign_in_subjects(account text, address text) RETURNS bytea[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[sha256(convert_to('account ' || lower(account), 'UTF8')), sha256(convert_to('address ' || address, 'UTF8'))]
$$;

CREATE FUNCTION sign_in_wait_ms(subjects bytea[]) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(max(to_ms(locked_until) - to_ms(clock_timestamp())), 0) FROM sign_in_failure
     WHERE subject = ANY (subjects) AND locked_until > clock_timestamp()
$$;

-- Tells how a password was, and how long nobody may try now, in ms: from the tenth failure in a row 30 s, doubling up to an hour.
-- A right password does not count while there is a lock: it may have been one guess of many at the same time. new_password: the
-- same one hashed anew, or NULL.
CREATE FUNCTION sign_in_end(account text, address text, is_right boolean, uid bigint, old_password text, new_password text)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    subjects bytea[] := sign_in_subjects(account, address);
    wait_ms bigint;
    forgiven integer;
    f record;
BEGIN
    -- One after the other, also where there is no row yet: or one that looked before the first failure was written would
    -- count after the tenth. Both in one order: two that end at once must not wait for each other.
    PERFORM pg_advisory_xact_lock(l.key)
       FROM (SELECT DISTINCT hashtextextended(encode(k, 'hex'), 17) AS key FROM unnest(subjects) k ORDER BY 1) l;
    wait_ms := sign_in_wait_ms(subjects);
    IF wait_ms > 0 THEN
        RETURN wait_ms;
    ELSIF is_right THEN
        DELETE FROM sign_in_failure s WHERE s.subject = subjects[1] RETURNING s.failures INTO forgiven;
        -- of the address what may have been theirs: with one right password nobody buys guesses at other accounts
        DELETE FROM sign_in_failure s WHERE s.subject = subjects[2] AND s.failures <= forgiven;
        UPDATE sign_in_failure s SET failures = s.failures - forgiven WHERE s.subject = subjects[2] AND forgiven IS NOT NULL;
        UPDATE users SET password = new_password WHERE id = uid AND password = old_password AND new_password IS NOT NULL;
        RETURN 0;
    END IF;
    FOR f IN
        INSERT INTO sign_in_failure AS s (subject, failures, last_at)
        SELECT k, 1, clock_timestamp() FROM unnest(subjects) k ORDER BY k
        ON CONFLICT (subject) DO UPDATE SET
            failures = CASE WHEN s.last_at < now() - interval '1 day' THEN 1 ELSE s.failures + 1 END,
            last_at = excluded.last_at,
            locked_until = CASE WHEN s.failures + 1 >= 10 AND s.last_at >= now() - interval '1 day' THEN
                excluded.last_at + least(3600, 30 * 2 ^ least(s.failures + 1 - 10, 10)) * interval '1 s' END
        RETURNING s.subject, s.failures, s.locked_until
    LOOP
        IF f.locked_until IS NOT NULL THEN
            INSERT INTO audit (actor, action, target, after, coalesced)
            SELECT address, 'sign_in.lock',
                   CASE WHEN f.subject = subjects[2] THEN 'address ' || address
                        ELSE coalesce((SELECT 'user ' || u.name FROM users u WHERE u.id = uid), 'an unknown user') END,
                   jsonb_build_object('failures', f.failures, 'until', iso_time(f.locked_until)),
                   sha256(f.subject || convert_to(f.locked_until::text, 'UTF8'));
        END IF;
    END LOOP;
    RETURN 0;
END $$;

-- --- tokens ---

-- The id of the new token. family NULL: it begins one. refresh NULL: none is given. Of those made this way a person has 1000 at
-- most: what was not used for the longest ends.
CREATE FUNCTION token_grant(actor text, uid bigint, sha bytea, begins text, by_client text, may text[], expires_s bigint,
                            product integer, refresh bytea, of_family bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE made bigint;
BEGIN
    INSERT INTO access_token (user_id, sha256, prefix, client, scopes, expires_at, product_id, family)
    VALUES (uid, sha, begins, by_client, may, now() + expires_s * interval '1 s', product, of_family) RETURNING id INTO made;
    IF of_family IS NULL THEN
        UPDATE access_token SET family = made WHERE id = made;
    END IF;
    IF refresh IS NOT NULL THEN
        INSERT INTO refresh_token (sha256, family, user_id, client, scopes, product_id, expires_at)
        VALUES (refresh, coalesce(of_family, made), uid, by_client, may, product, now() + interval '180 days');
    END IF;
    UPDATE access_token SET revoked_at = now() WHERE id IN (
        SELECT id FROM access_token WHERE user_id = uid AND family IS NOT NULL AND revoked_at IS NULL
         ORDER BY coalesce(last_used_at, created_at) DESC, id DESC OFFSET 1000);
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'token.create', 'token ' || made, jsonb_build_object('client', by_client, 'scopes', may));
    RETURN made;
END $$;

-- 'ok', 'unknown' (also: expired, another client's) or 'reused': then its family has ended. A client that has a secret must
-- bring it (its hash; NULL: none).
CREATE FUNCTION token_refresh(old bytea, by_client text, secret bytea, sha bytea, begins text, expires_s bigint, refresh bytea)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r refresh_token;
    who text;
    ended bigint;
BEGIN
    SELECT * INTO r FROM refresh_token WHERE sha256 = old FOR UPDATE;
    IF NOT FOUND OR r.revoked_at IS NOT NULL OR r.client IS DISTINCT FROM by_client
       OR EXISTS (SELECT FROM oauth_client o WHERE o.id = by_client AND o.secret_sha256 IS DISTINCT FROM secret) THEN
        RETURN 'unknown';
    END IF;
    SELECT name INTO who FROM users WHERE id = r.user_id;
    IF r.used_at IS NOT NULL THEN
        UPDATE refresh_token SET revoked_at = now() WHERE family = r.family AND revoked_at IS NULL;
        UPDATE access_token SET revoked_at = now() WHERE family = r.family AND revoked_at IS NULL;
        GET DIAGNOSTICS ended = ROW_COUNT;
        INSERT INTO audit (actor, action, target, after)
        VALUES (who, 'token.reuse', 'token ' || r.family, jsonb_build_object('client', by_client, 'tokens_ended', ended));
        RETURN 'reused';
    ELSIF r.expires_at <= now() THEN
        RETURN 'unknown';
    END IF;
    UPDATE refresh_token SET used_at = now() WHERE sha256 = old;
    PERFORM token_grant(who, r.user_id, sha, begins, r.client, r.scopes, expires_s, r.product_id, refresh, r.family);
    RETURN 'ok';
END $$;

-- Whoever has a secret of 160 random bits gains nothing from the time a comparison of hashes takes.
CREATE FUNCTION token_of_client(client_id text, secret bytea, sha bytea, begins text, expires_s bigint, refresh bytea)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE c record;
BEGIN
    SELECT o.*, u.name AS who INTO c FROM oauth_client o JOIN users u ON u.id = o.user_id
     WHERE o.id = client_id AND o.secret_sha256 = secret;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM token_grant(c.who, c.user_id, sha, begins, client_id, c.scopes, expires_s, c.product_id, refresh, NULL);
    RETURN 'ok';
END $$;

-- --- clients ---

CREATE FUNCTION oauth_client_json(c oauth_client) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', c.id, 'name', c.name, 'type', c.type, 'scope', array_to_string(c.scopes, ' '),
                              'redirect_uri', c.redirect_uri, 'product_id', c.product_id, 'created_at', iso_time(c.created_at))
$$;

-- of_product NULL: the actor's own. NULL: there are 100 already.
CREATE FUNCTION oauth_client_create(actor text, uid bigint, of_product integer, new_id text, new_name text, new_type text,
                                    new_scopes text[], uri text, secret bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE c oauth_client;
BEGIN
    IF (SELECT count(*) FROM oauth_client o
         WHERE CASE WHEN of_product IS NULL THEN o.user_id = uid AND o.product_id IS NULL ELSE o.product_id = of_product END)
       >= 100 THEN
        RETURN NULL;
    END IF;
    INSERT INTO oauth_client (id, user_id, product_id, name, type, scopes, redirect_uri, secret_sha256)
    VALUES (new_id, uid, of_product, new_name, new_type, new_scopes, uri, secret) RETURNING * INTO c;
    INSERT INTO audit (actor, action, target, after) VALUES (actor, 'client.create', 'client ' || c.id, oauth_client_json(c));
    RETURN oauth_client_json(c);
END $$;

-- Its tokens end with it. False: there is none of that id.
CREATE FUNCTION oauth_client_delete(actor text, uid bigint, of_product integer, which text) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE c oauth_client;
BEGIN
    DELETE FROM oauth_client o
     WHERE o.id = which
       AND CASE WHEN of_product IS NULL THEN o.user_id = uid AND o.product_id IS NULL ELSE o.product_id = of_product END
    RETURNING * INTO c;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE access_token SET revoked_at = now() WHERE user_id = c.user_id AND client = c.id AND revoked_at IS NULL;
    UPDATE refresh_token SET revoked_at = now() WHERE user_id = c.user_id AND client = c.id AND revoked_at IS NULL;
    INSERT INTO audit (actor, action, target, before) VALUES (actor, 'client.delete', 'client ' || c.id, oauth_client_json(c));
    RETURN true;
END $$;

-- --- teams ---

CREATE FUNCTION team_json(which integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('_id', m.id::text, 'username', m.name, 'role', m.role) ||
                              CASE WHEN m.api_user_of IS NULL THEN '{}' ELSE jsonb_build_object(
                                  'is_programmatic', true, 'friendly_name', m.friendly_name, 'scopes',
                                  (SELECT to_jsonb(t.scopes) FROM access_token t
                                    WHERE t.user_id = m.id AND t.revoked_at IS NULL ORDER BY t.id DESC LIMIT 1)) END
                              ORDER BY m.place, m.name), '[]')
      FROM (SELECT u.id, u.name, u.api_user_of, u.friendly_name, 'owner' AS role, 0 AS place
              FROM product p JOIN users u ON u.id = p.owner_id WHERE p.id = which
            UNION ALL
            SELECT u.id, u.name, u.api_user_of, u.friendly_name, pm.role, 1
              FROM product_member pm JOIN users u ON u.id = pm.user_id WHERE pm.product_id = which) m
$$;

-- The team is the owner's, and of operators and admins. Codes: 'ok', 'forbidden', 'not found' (no such person), 'owner', 'full'.
CREATE FUNCTION team_set(actor_id bigint, actor text, sees_all boolean, which integer, username text, new_role text)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    uid bigint;
    owner bigint;
    old_role text;
BEGIN
    SELECT p.owner_id INTO owner FROM product p WHERE p.id = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not found';
    ELSIF NOT sees_all AND owner IS DISTINCT FROM actor_id THEN
        RETURN 'forbidden';
    END IF;
    SELECT u.id INTO uid FROM users u WHERE lower(u.name) = lower(username) AND u.api_user_of IS NULL
     ORDER BY u.name = username DESC LIMIT 1;
    IF uid IS NULL THEN
        RETURN 'not found';
    ELSIF uid = owner THEN
        RETURN 'owner';
    END IF;
    SELECT m.role INTO old_role FROM product_member m WHERE m.product_id = which AND m.user_id = uid;
    IF old_role IS NULL AND (SELECT count(*) FROM product_member m WHERE m.product_id = which) >= 1000 THEN
        RETURN 'full';
    END IF;
    INSERT INTO product_member (product_id, user_id, role) VALUES (which, uid, new_role)
    ON CONFLICT (product_id, user_id) DO UPDATE SET role = excluded.role;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'team.add', 'product ' || which, CASE WHEN old_role IS NOT NULL THEN
            jsonb_build_object('username', username, 'role', old_role) END,
            jsonb_build_object('username', username, 'role', new_role));
    RETURN 'ok';
END $$;

-- An API user is deleted with its tokens.
CREATE FUNCTION team_remove(actor_id bigint, actor text, sees_all boolean, which integer, username text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE m record;
BEGIN
    IF NOT sees_all AND NOT EXISTS (SELECT FROM product p WHERE p.id = which AND p.owner_id = actor_id) THEN
        RETURN 'forbidden';
    END IF;
    SELECT pm.user_id, pm.role, u.api_user_of INTO m FROM product_member pm JOIN users u ON u.id = pm.user_id
     WHERE pm.product_id = which AND lower(u.name) = lower(username) ORDER BY u.name = username DESC LIMIT 1 FOR UPDATE OF pm;
    IF NOT FOUND THEN
        RETURN 'not found';
    END IF;
    IF m.api_user_of IS NOT NULL THEN
        DELETE FROM users WHERE id = m.user_id;
    ELSE
        DELETE FROM product_member pm WHERE pm.product_id = which AND pm.user_id = m.user_id;
        UPDATE access_token SET revoked_at = now()
         WHERE user_id = m.user_id AND product_id = which AND revoked_at IS NULL;
        UPDATE refresh_token SET revoked_at = now()
         WHERE user_id = m.user_id AND product_id = which AND revoked_at IS NULL;
    END IF;
    INSERT INTO audit (actor, action, target, before)
    VALUES (actor, 'team.remove', 'product ' || which, jsonb_build_object('username', username, 'role', m.role));
    RETURN 'ok';
END $$;

CREATE FUNCTION team_add_api_user(actor_id bigint, actor text, sees_all boolean, which integer, new_name text, friendly text,
                                  may text[], new_role text, sha bytea, begins text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE uid bigint;
BEGIN
    PERFORM FROM product p WHERE p.id = which AND (sees_all OR p.owner_id = actor_id) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'forbidden';
    ELSIF (SELECT count(*) FROM product_member m WHERE m.product_id = which) >= 1000 THEN
        RETURN 'full';
    END IF;
    INSERT INTO users (name, role, api_user_of, friendly_name) VALUES (new_name, 'owner', which, friendly) RETURNING id INTO uid;
    INSERT INTO product_member (product_id, user_id, role) VALUES (which, uid, new_role);
    INSERT INTO access_token (user_id, sha256, prefix, client, scopes) VALUES (uid, sha, begins, 'api', may);
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'team.add', 'product ' || which, jsonb_build_object('username', new_name, 'role', new_role, 'scopes', may));
    RETURN 'ok';
END $$;

-- --- refusals ---

-- One row for the same actor, address, route and status within an hour. Rows of a call differ in these.
CREATE FUNCTION refusals_store(actors text[], addresses text[], routes text[], statuses integer[], whys text[], devices text[],
                               counts bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO audit AS a (actor, action, target, after, count, last_at, coalesced)
    SELECT coalesce(r.actor, r.address), 'refused', r.route,
           jsonb_strip_nulls(jsonb_build_object('status', r.status, 'address', r.address, 'why', r.why, 'device', r.device)),
           r.n, now(), r.k
      FROM (SELECT u.*, sha256(convert_to(concat_ws(E'\n', floor(extract(epoch FROM now()) / 3600), coalesce(u.actor, ''),
                                                    u.address, u.route, u.status), 'UTF8')) AS k
              FROM unnest(actors, addresses, routes, statuses, whys, devices, counts)
                   AS u (actor, address, route, status, why, device, n)) r
     ORDER BY r.k
    ON CONFLICT (coalesced) WHERE coalesced IS NOT NULL
    DO UPDATE SET count = a.count + excluded.count, last_at = excluded.last_at, after = excluded.after
$$;

-- Deletes what has been kept long enough, at most batch rows of each kind; tells how many went. Of refusals at most most_refusals
-- stay, whatever their age; of failed sign-ins 100,000.
CREATE FUNCTION account_sweep(batch integer, refusals_keep_s bigint, most_refusals bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    gone bigint := 0;
    n bigint;
BEGIN
    DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE coalesced IS NOT NULL
                                      AND at < now() - refusals_keep_s * interval '1 s' ORDER BY id LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := gone + n;
    DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE coalesced IS NOT NULL ORDER BY id DESC
                                   OFFSET most_refusals LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := gone + n;
    DELETE FROM sign_in_failure WHERE subject IN (SELECT subject FROM sign_in_failure
                                                  WHERE last_at < now() - interval '1 day' ORDER BY last_at LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := gone + n;
    DELETE FROM sign_in_failure WHERE subject IN (SELECT subject FROM sign_in_failure ORDER BY last_at DESC
                                                  OFFSET 100000 LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := gone + n;
    DELETE FROM access_token WHERE id IN (SELECT id FROM access_token WHERE revoked_at < now() - interval '30 days' LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := gone + n;
    DELETE FROM access_token WHERE id IN (SELECT id FROM access_token WHERE expires_at < now() - interval '30 days' LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    gone := gone + n;
    DELETE FROM refresh_token WHERE sha256 IN (SELECT sha256 FROM refresh_token WHERE expires_at < now() LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN gone + n;
END $$;
