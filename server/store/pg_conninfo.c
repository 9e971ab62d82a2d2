/* pg_conninfo.c: connection options: what the operator stated, plus our defaults where nothing was stated. */
#include "store/pg_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define OPTIONS_MAX 64

struct options {
    const char *keys[OPTIONS_MAX + 1];
    const char *values[OPTIONS_MAX + 1];
    int count;
};

static const char *stated(const struct options *o, const char *key)
{
    for (int i = 0; i < o->count; i++)
        if (!strcmp(o->keys[i], key))
            return o->values[i];
    return NULL;
}

static void set(struct options *o, const char *key, const char *value)
{
    must(o->count < OPTIONS_MAX);
    o->keys[o->count] = key;
    o->values[o->count++] = value;
}

static void set_default(struct options *o, const char *key, const char *value)
{
    if (!stated(o, key))
        set(o, key, value);
}

static void on_notice(void *arg, const char *message)
{
    (void)arg;
    char line[256];
    pg_first_line(line, sizeof line, message);
    log_debug("postgres.notice text=\"%s\"", line);
}

/* A Postgres that vanished without a word is noticed by the kernel within about ten seconds; one that hangs,
 * by statement_timeout and the watchdog. */
static void add_defaults(struct options *o)
{
    set_default(o, "client_encoding", "UTF8");
    set_default(o, "fallback_application_name", "cyand");
    set_default(o, "keepalives_idle", "5");
    set_default(o, "keepalives_interval", "2");
    set_default(o, "keepalives_count", "3");
    set_default(o, "tcp_user_timeout", "10000");
    set_default(o, "connect_timeout", "10"); /* seconds; the blocking form only */
}

static PGconn *open_with(const char *conninfo, const char *own_options, bool blocking)
{
    PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
    if (!parsed) /* what libpq says about it could quote a part of a password */
        return NULL;
    struct options o = {.count = 0};
    char *server_options = NULL;
    for (const PQconninfoOption *p = parsed; p->keyword && o.count < OPTIONS_MAX - 10; p++)
        if (p->val && strcmp(p->keyword, "options") != 0)
            set(&o, p->keyword, p->val);
        else if (p->val)
            server_options = mem_printf("%s %s", p->val, own_options);
    if (!server_options)
        server_options = mem_string(own_options);
    set(&o, "options", server_options);
    add_defaults(&o);
    PGconn *conn =
        blocking ? PQconnectdbParams(o.keys, o.values, 0) : PQconnectStartParams(o.keys, o.values, 0);
    if (conn)
        PQsetNoticeProcessor(conn, on_notice, NULL);
    free(server_options);
    PQconninfoFree(parsed);
    return conn;
}

PGconn *pg_conninfo_start(const char *conninfo, uint32_t statement_limit_ms)
{
    char own[128];
    snprintf(own, sizeof own,
             "-c statement_timeout=%u -c idle_in_transaction_session_timeout=%u -c lock_timeout=%u",
             (unsigned)statement_limit_ms, (unsigned)statement_limit_ms, (unsigned)PG_LOCK_LIMIT_MS);
    return open_with(conninfo, own, false);
}

PGconn *pg_conninfo_connect(const char *conninfo)
{
    return open_with(conninfo, "", true);
}

void pg_first_line(char *out, size_t out_size, const char *message)
{
    size_t len = message ? strcspn(message, "\r\n") : 0;
    if (len >= out_size)
        len = out_size - 1;
    if (len)
        memcpy(out, message, len);
    out[len] = 0;
    for (char *c = out; *c; c++)
        if (*c == '"' || (unsigned char)*c < ' ')
            *c = '\'';
}
