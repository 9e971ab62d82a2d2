#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "field.h"
#include "grid.h"
#include "text.h"

#define ETA_SIZE 128
#define COUNTS_SIZE 160
#define BAR_MAX 30
#define BAR_MIN 8
#define FIXED_COLUMNS 70 /* beside the bar, about */

static void eta_of(char out[ETA_SIZE], const json_t *stage)
{
    char soon[TEXT_SIZE], late[TEXT_SIZE];

    out[0] = '\0';
    if (!field_has_number(stage, "eta_p50_s"))
        return;
    text_duration(soon, field_count(stage, "eta_p50_s"));
    text_duration(late, field_count(stage, "eta_p90_s"));
    if (strcmp(soon, late) == 0 || !field_has_number(stage, "eta_p90_s"))
        (void)snprintf(out, ETA_SIZE, "%s left", soon);
    else
        (void)snprintf(out, ETA_SIZE, "%s left, at most %s", soon, late);
}

static void counts_of(char out[COUNTS_SIZE], const json_t *counts)
{
    static const char *const names[] = {"ok", "open", "failed", "lost", "blocked", "offline", "gone"};
    size_t used = (size_t)snprintf(out, COUNTS_SIZE, "of %lld", (long long)field_integer(counts, "total"));

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && used < COUNTS_SIZE; i++) {
        if (i < 1 || field_integer(counts, names[i]) > 0)
            used += (size_t)snprintf(out + used, COUNTS_SIZE - used, ", %lld %s",
                                     (long long)field_integer(counts, names[i]), names[i]);
    }
}

static size_t bar_columns(size_t width)
{
    size_t left = width > FIXED_COLUMNS ? width - FIXED_COLUMNS : 0;

    return left > BAR_MAX ? BAR_MAX : left < BAR_MIN ? BAR_MIN : left;
}

static void draw_stages(const struct terminal *terminal, const json_t *stages, FILE *out)
{
    static const struct grid_column columns[] = {
        {.shrinks = true}, {0}, {0}, {.right = true}, {.shrinks = true}, {.shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    char eta[ETA_SIZE], counts[COUNTS_SIZE];
    json_t *stage;
    size_t i;

    json_array_foreach (stages, i, stage) {
        const char *state = field_text_or(stage, "state", "?");
        double done = field_number(stage, "done_percent");
        char *bar = terminal_bar(terminal, bar_columns(terminal->width), done / 100);
        counts_of(counts, json_object_get(stage, "counts"));
        eta_of(eta, stage);
        grid_add(grid, field_text(stage, "name"));
        grid_add_styled(grid, state, terminal_state_style(state));
        grid_add_styled(grid, bar, terminal_state_style(state));
        grid_addf(grid, "%.0f %%", done);
        grid_add(grid, counts);
        grid_add(grid, eta);
        free(bar);
    }
    grid_print(grid, terminal, out);
    grid_free(grid);
}

static void draw_tail(const struct terminal *terminal, const json_t *progress, FILE *out)
{
    long long away = (long long)field_integer(progress, "not_seen_30d");
    char *line = mem_printf("now: %lld transferring, %lld rebooting, %lld to describe themselves",
                            (long long)field_integer(progress, "transferring"),
                            (long long)field_integer(progress, "rebooting"),
                            (long long)field_integer(progress, "describing"));
    char *fitting = text_cut(line, terminal->width, "");

    (void)fprintf(out, "%s\n", fitting);
    free(fitting);
    free(line);
    if (away > 0) {
        line = mem_printf("%lld devices were not seen for 30 days and will not finish", away);
        fitting = text_cut(line, terminal->width, "");
        (void)fprintf(out, "%s\n", fitting);
        free(fitting);
        free(line);
    }
}

static void draw_head(const struct terminal *terminal, const json_t *campaign, FILE *out)
{
    const char *state = field_text_or(campaign, "state", "?"), *why = field_text(campaign, "why");
    const char *pause = field_text(campaign, "pause_reason");
    char *line = mem_printf("%s is %s%s%s%s%s", field_text_or(campaign, "name", "?"), state,
                            pause != NULL ? " by " : "", pause != NULL ? pause : "", why != NULL ? ": " : "",
                            why != NULL ? why : "");
    char *clean = text_clean(line),
         *fitting = text_cut(clean, terminal->width, terminal->utf8 ? "\u2026" : "~");

    (void)fprintf(out, "%s%s%s\n", terminal_begin(terminal, terminal_state_style(state)), fitting,
                  terminal_end(terminal, terminal_state_style(state)));
    free(fitting);
    free(clean);
    free(line);
}

/* Each line ends where it does and clears what an older picture had behind it. */
static void put_picture(struct progress *p, const char *picture)
{
    if (p->lines > 0)
        (void)printf("\033[%zuA", p->lines);
    p->lines = 0;
    for (const char *at = picture; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        (void)printf("\r%.*s\033[K\n", (int)len, at);
        p->lines++;
        at += len + (at[len] == '\n' ? 1 : 0);
    }
    (void)fputs("\033[J", stdout);
    (void)fflush(stdout);
}

static void draw(struct progress *p, const struct cli *cli, const json_t *progress)
{
    struct terminal terminal = cli->terminal;
    char *picture = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&picture, &len);

    must(out != NULL);
    terminal.width = terminal_columns(); /* it may have been resized */
    draw_head(&terminal, json_object_get(progress, "campaign"), out);
    draw_stages(&terminal, json_object_get(progress, "stages"), out);
    draw_tail(&terminal, progress, out);
    must(fclose(out) == 0);
    put_picture(p, picture);
    free(picture);
}

/* What is worth a line: states and what is resolved, not what moves all the time. */
static char *lines_of(const json_t *progress)
{
    const json_t *campaign = json_object_get(progress, "campaign");
    const char *pause = field_text(campaign, "pause_reason"), *why = field_text(campaign, "why");
    char *text = NULL, counts[COUNTS_SIZE];
    size_t len = 0, i;
    json_t *stage;
    FILE *out = open_memstream(&text, &len);

    must(out != NULL);
    (void)fprintf(out, "%s: %s%s%s%s%s\n", field_text_or(campaign, "name", "?"),
                  field_text_or(campaign, "state", "?"), pause != NULL ? " by " : "",
                  pause != NULL ? pause : "", why != NULL ? ": " : "", why != NULL ? why : "");
    json_array_foreach (json_object_get(progress, "stages"), i, stage) {
        const char *verdict = field_text(json_object_get(stage, "verdict"), "sentence");
        if (strcmp(field_text_or(stage, "state", ""), "pending") == 0)
            continue;
        counts_of(counts, json_object_get(stage, "counts"));
        (void)fprintf(out, "%s: stage %s %s: %.0f %% %s%s%s\n", field_text_or(campaign, "name", "?"),
                      field_text_or(stage, "name", "?"), field_text_or(stage, "state", "?"),
                      field_number(stage, "done_percent"), counts, verdict != NULL ? ": " : "",
                      verdict != NULL ? verdict : "");
    }
    must(fclose(out) == 0);
    return text;
}

/* Writes each line that the last ones did not have. */
static void write_changes(struct progress *p, const struct cli *cli, const json_t *progress)
{
    char *lines = lines_of(progress), *copy = mem_string(lines), *rest = NULL;

    for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (p->last == NULL || strstr(p->last, line) == NULL)
            cli_say(cli, "%s", line);
    }
    (void)fflush(stdout);
    free(copy);
    free(p->last);
    p->last = lines;
}

void progress_show(struct progress *p, const struct cli *cli, const json_t *progress)
{
    if (cli->json) {
        (void)json_dumpf(progress, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
    } else if (cli->terminal.width > 0 && !cli->quiet) {
        draw(p, cli, progress);
    } else {
        write_changes(p, cli, progress);
    }
}

void progress_rest(struct progress *p)
{
    p->lines = 0;
}

void progress_deinit(struct progress *p)
{
    free(p->last);
    p->last = NULL;
}
