#include "fleet/audit.h"

#include "fleet/answer_text.h"

/* One row more than asked for tells that there is a next page. */
static const struct pg_statement read_audit = {
    .name = "audit_read",
    .sql = "SELECT jsonb_build_object('audit', coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'at', "
           "iso_time(a.at),"
           " 'actor', a.actor, 'action', a.action, 'target', a.target, 'before', a.before, 'after', a.after,"
           " 'reason', a.reason, 'count', a.count, 'last_at', iso_time(a.last_at)) ORDER BY a.id DESC)"
           " FILTER (WHERE a.place <= $5::integer), '[]'), 'next', CASE WHEN count(*) > $5::integer"
           " THEN min(a.id) FILTER (WHERE a.place <= $5::integer) END)"
           " FROM (SELECT n.*, row_number() OVER (ORDER BY n.id DESC) AS place FROM (SELECT * FROM audit t"
           " WHERE ($1::text IS NULL OR t.actor = $1::text) AND ($2::text IS NULL OR t.target = $2::text)"
           " AND ($3::text IS NULL OR t.action = $3::text) AND ($4::bigint IS NULL OR t.id < $4::bigint)"
           " ORDER BY t.id DESC LIMIT $5::integer + 1) n) a",
    .params = 5,
    .replan = true,
};

void fleet_read_audit(struct fleet *f, const struct audit_filter *filter, audit_fn *done, void *arg)
{
    struct fleet_number below, at_most;
    struct pg_param params[] = {
        pg_text(filter->actor),
        pg_text(filter->target),
        pg_text(filter->action),
        filter->below ? fleet_int(&below, filter->below) : pg_text(NULL),
        fleet_int(&at_most, filter->at_most),
    };
    answer_text(f, &read_audit, params, PG_RETRY, done, arg);
}
