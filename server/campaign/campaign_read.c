/* campaign_read.c: what people read of campaigns: Postgres makes the JSON. */
#include "campaign/campaigns.h"

#include <stdlib.h>

#include "base/mem.h"
#include "campaign/campaigns_inner.h"

static const struct pg_statement read_campaign = {
    .name = "campaign_read",
    .sql = "SELECT json_build_object('campaign', campaign_json(c)) FROM campaign c WHERE c.id = "
           "campaign_find($1::text)",
    .params = 1,
};
static const struct pg_statement read_progress = {
    .name = "campaign_progress",
    .sql = "SELECT campaign_progress_json(campaign_find($1::text))",
    .params = 1,
};
static const struct pg_statement list_campaigns = {
    .name = "campaign_list",
    .sql = "SELECT campaigns_json($1::text, $2::bigint, $3::bigint)",
    .params = 3,
};
static const struct pg_statement list_devices = {
    .name = "campaign_list_devices",
    .sql =
        "SELECT campaign_devices_json(campaign_find($1::text), $2::text, $3::text, $4::bigint, $5::bigint)",
    .params = 5,
};
static const struct pg_statement export_slice = {
    .name = "campaign_export",
    .sql = "SELECT coalesce(e.last, 0), e.lines FROM campaign c,"
           " campaign_export_lines(c.id, $2::bigint, $3::integer, $4::boolean) e WHERE c.id = "
           "campaign_find($1::text)",
    .params = 4,
};

struct read_wait {
    campaign_text_fn *done;
    void *arg;
};

static void on_text(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct read_wait wait = *(struct read_wait *)arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_read");
    free(arg);
    if (ferr == FLEET_OK && (pg_rows(result) == 0 || pg_is_null(result, 0, 0)))
        ferr = FLEET_NOT_FOUND;
    wait.done(wait.arg, ferr, ferr == FLEET_OK ? pg_value(result, 0, 0) : NULL);
}

static void ask(struct campaigns *c, const struct pg_statement *statement, const struct pg_param *params,
                campaign_text_fn *done, void *arg)
{
    struct read_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct read_wait){.done = done, .arg = arg};
    pg_exec(c->pg, statement, params, CAMPAIGN_PATIENCE_MS, PG_RETRY, on_text, wait);
}

void campaign_read(struct campaigns *c, const char *which, campaign_text_fn *done, void *arg)
{
    ask(c, &read_campaign, (struct pg_param[]){pg_text(which)}, done, arg);
}

void campaign_read_progress(struct campaigns *c, const char *which, campaign_text_fn *done, void *arg)
{
    ask(c, &read_progress, (struct pg_param[]){pg_text(which)}, done, arg);
}

void campaign_list(struct campaigns *c, const char *state, uint32_t page, uint32_t per_page,
                   campaign_text_fn *done, void *arg)
{
    struct campaign_number n[2];
    struct pg_param params[] = {pg_text(state), campaign_int(&n[0], page), campaign_int(&n[1], per_page)};
    ask(c, &list_campaigns, params, done, arg);
}

void campaign_list_devices(struct campaigns *c, const char *which, const char *state, const char *reason,
                           uint32_t page, uint32_t per_page, campaign_text_fn *done, void *arg)
{
    struct campaign_number n[2];
    struct pg_param params[] = {pg_text(which), pg_text(state), pg_text(reason), campaign_int(&n[0], page),
                                campaign_int(&n[1], per_page)};
    ask(c, &list_devices, params, done, arg);
}

/* --- export --- */

struct export_wait {
    campaign_slice_fn *done;
    void *arg;
};

static void on_slice(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct export_wait wait = *(struct export_wait *)arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_export");
    free(arg);
    if (ferr == FLEET_OK && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (ferr != FLEET_OK)
        wait.done(wait.arg, ferr, "", 0);
    else
        wait.done(wait.arg, FLEET_OK, pg_value(result, 0, 1), pg_int(result, 0, 0));
}

void campaign_export(struct campaigns *c, const char *which, int64_t past, bool as_csv,
                     campaign_slice_fn *done, void *arg)
{
    struct export_wait *wait = mem_alloc(sizeof *wait);
    struct campaign_number n[2];
    struct pg_param params[] = {pg_text(which), campaign_int(&n[0], past),
                                campaign_int(&n[1], CAMPAIGN_EXPORT_SLICE), pg_text(as_csv ? "t" : "f")};
    *wait = (struct export_wait){.done = done, .arg = arg};
    pg_exec(c->bulk, &export_slice, params, CAMPAIGN_BULK_MS, PG_RETRY, on_slice, wait);
}
