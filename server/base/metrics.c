#include "base/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

/* One sample line; the metric is first, so that its address is the sample's. */
struct sample {
    struct metric metric;
    char *label; /* ours; NULL when the family has none */
    struct sample *next;
};
/* One name with its HELP and TYPE, which Prometheus wants once, before all its samples. */
struct family {
    enum metric_kind kind;
    char *name, *help; /* ours */
    struct sample *first, **last;
    struct family *next;
};
struct metrics {
    struct family *first, **last;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_alloc(sizeof(*m));
    m->last = &m->first;
    return m;
}

static void family_free(struct family *f)
{
    struct sample *next;

    for (struct sample *s = f->first; s != NULL; s = next) {
        next = s->next;
        free(s->label);
        free(s);
    }
    free(f->name);
    free(f->help);
    free(f);
}

void metrics_free(struct metrics *m)
{
    struct family *next;

    if (m == NULL)
        return;
    for (struct family *f = m->first; f != NULL; f = next) {
        next = f->next;
        family_free(f);
    }
    free(m);
}

static struct family *family_get(struct metrics *m, enum metric_kind kind, const char *name, const char *help)
{
    for (struct family *f = m->first; f != NULL; f = f->next) {
        if (strcmp(f->name, name) != 0)
            continue;
        must(f->kind == kind);
        return f;
    }
    struct family *f = mem_alloc(sizeof(*f));
    f->kind = kind;
    f->name = mem_string(name);
    f->help = mem_string(help);
    f->last = &f->first;
    *m->last = f;
    m->last = &f->next;
    return f;
}

static bool same_label(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

struct metric *metrics_add(struct metrics *m, enum metric_kind kind, const char *name, const char *label,
                           const char *help)
{
    struct family *f = family_get(m, kind, name, help);

    for (struct sample *s = f->first; s != NULL; s = s->next) {
        if (same_label(s->label, label))
            return &s->metric;
    }
    struct sample *s = mem_alloc(sizeof(*s));
    s->label = label != NULL ? mem_string(label) : NULL;
    *f->last = s;
    f->last = &s->next;
    return &s->metric;
}

/* Help text escapes backslash and newline (text format 0.0.4). */
static void print_help(FILE *out, const struct family *f)
{
    fprintf(out, "# HELP %s ", f->name);
    for (const char *c = f->help; *c != '\0'; c++) {
        if (*c == '\\')
            fputs("\\\\", out);
        else if (*c == '\n')
            fputs("\\n", out);
        else
            fputc(*c, out);
    }
    fputc('\n', out);
}

char *metrics_print(const struct metrics *m, size_t *text_len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, text_len);
    must(out != NULL);

    for (const struct family *f = m->first; f != NULL; f = f->next) {
        print_help(out, f);
        fprintf(out, "# TYPE %s %s\n", f->name, f->kind == METRIC_COUNTER ? "counter" : "gauge");
        for (const struct sample *s = f->first; s != NULL; s = s->next) {
            if (s->label != NULL)
                fprintf(out, "%s{%s} %" PRIu64 "\n", f->name, s->label, s->metric.value);
            else
                fprintf(out, "%s %" PRIu64 "\n", f->name, s->metric.value);
        }
    }
    int ret = fclose(out); /* fails only for lack of memory */
    must(ret == 0 && text != NULL);
    return text;
}
