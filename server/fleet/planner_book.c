#include "fleet/planner_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

static const struct planner_page no_page;

static struct planner_page *page_of(struct planner_book *book, json_int_t platform_id)
{
    for (size_t i = 0; i < book->page_count; i++)
        if (book->pages[i]->platform_id == platform_id)
            return book->pages[i];
    struct planner_page *page = mem_alloc(sizeof *page);
    page->platform_id = (uint16_t)platform_id;
    book->pages = mem_grow(book->pages, book->page_count + 1, sizeof *book->pages);
    book->pages[book->page_count++] = page;
    return page;
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static struct plan_module module_of(const json_t *object)
{
    return (struct plan_module){.function = (uint8_t)number(object, "func"),
                                .index = (uint8_t)number(object, "index"),
                                .version = (uint16_t)number(object, "version")};
}

static bool read_binary(struct plan_binary *b, const json_t *row, char why[PLANNER_WHY_SIZE])
{
    const json_t *needs = json_object_get(row, "needs"), *combined = json_object_get(row, "combined");
    json_t *one;
    size_t i;
    *b = (struct plan_binary){.id = number(row, "id"),
                              .gives = {module_of(row)},
                              .gives_count = 1,
                              .size_bytes = (uint32_t)number(row, "size_bytes"),
                              .is_target = json_is_true(json_object_get(row, "is_target")),
                              .is_withdrawn = json_is_true(json_object_get(row, "is_withdrawn"))};
    if (json_array_size(needs) > PLAN_NEEDS_MAX || json_array_size(combined) > 1) {
        (void)snprintf(why, PLANNER_WHY_SIZE,
                       "Module %lld holds more modules, or needs more, than can be planned with.",
                       (long long)b->id);
        return false;
    }
    json_array_foreach ((json_t *)needs, i, one)
        b->needs[b->needs_count++] = module_of(one);
    json_array_foreach ((json_t *)combined, i, one)
        b->gives[b->gives_count++] = module_of(one);
    return true;
}

static bool read_binaries(struct planner_book *book, const json_t *rows, char why[PLANNER_WHY_SIZE])
{
    json_t *row;
    size_t i;
    json_array_foreach ((json_t *)rows, i, row) {
        struct planner_page *page = page_of(book, number(row, "platform_id"));
        if (page->binary_count == PLAN_BINARIES_MAX) {
            (void)snprintf(why, PLANNER_WHY_SIZE,
                           "Release %s has more than %d binaries for platform %u, too many to plan with.",
                           book->release_name, PLAN_BINARIES_MAX, page->platform_id);
            return false;
        }
        if (!read_binary(&page->binaries[page->binary_count], row, why))
            return false;
        page->binary_count++;
    }
    return true;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static bool read_rule(struct planner_page *page, const json_t *row, char why[PLANNER_WHY_SIZE])
{
    char flaw[RULE_WHY_SIZE];
    enum rule_kind kind;
    struct plan_rule rule;
    const struct rule_words words = {text(row, "code"), text(row, "explain"), text(row, "evidence")};
    if (!rule_kind_parse(&kind, text(row, "kind"))) {
        (void)snprintf(why, PLANNER_WHY_SIZE,
                       "Rule %.64s: `kind` must be one of requires, forbids, "
                       "must_pass_through, unreachable, prefers, collateral.",
                       text(row, "code"));
        return false;
    }
    if (!rule_parse(&rule, kind, &words, json_object_get(row, "body"), flaw)) {
        (void)snprintf(why, PLANNER_WHY_SIZE, "Rule %.64s: %s", text(row, "code"), flaw);
        return false;
    }
    if (kind == RULE_DEEP_UPDATE_NEEDED)
        return true;
    if (page->rule_count == PLAN_RULES_MAX) {
        (void)snprintf(why, PLANNER_WHY_SIZE, "Platform %u has more than %d rules, too many to plan with.",
                       page->platform_id, PLAN_RULES_MAX);
        return false;
    }
    page->rules[page->rule_count++] = mem_copy(&rule, sizeof rule);
    return true;
}

static bool read_rules(struct planner_book *book, const json_t *rows, char why[PLANNER_WHY_SIZE])
{
    json_t *row;
    size_t i;
    json_array_foreach ((json_t *)rows, i, row)
        if (!json_is_integer(json_object_get(row, "platform_id")) || number(row, "platform_id") < 0 ||
            number(row, "platform_id") > UINT16_MAX) {
            (void)snprintf(why, PLANNER_WHY_SIZE,
                           "Rule %.64s: `platform_id` must be a number from 0 to 65535.", text(row, "code"));
            return false;
        } else if (!read_rule(page_of(book, number(row, "platform_id")), row, why)) {
            return false;
        }
    return true;
}

struct planner_book *planner_book_new(const struct planner_book_row *row, char why[PLANNER_WHY_SIZE])
{
    struct planner_book *book = mem_alloc(sizeof *book);
    json_t *binary_rows = json_loads(row->binaries, 0, NULL), *rule_rows = json_loads(row->rules, 0, NULL);
    must(binary_rows && rule_rows); /* Postgres made them */
    *book = (struct planner_book){.refs = 1,
                                  .release_id = row->release_id,
                                  .rev = row->rev,
                                  .release_name = mem_string(row->release_name),
                                  .state = mem_string(row->state)};
    bool good = read_binaries(book, binary_rows, why) && read_rules(book, rule_rows, why);
    json_decref(binary_rows);
    json_decref(rule_rows);
    if (good)
        return book;
    planner_book_unref(book);
    return NULL;
}

void planner_book_ref(struct planner_book *book)
{
    book->refs++;
}

void planner_book_unref(struct planner_book *book)
{
    if (!book || --book->refs > 0)
        return;
    for (size_t i = 0; i < book->page_count; i++) {
        for (size_t r = 0; r < book->pages[i]->rule_count; r++)
            free(book->pages[i]->rules[r]);
        free(book->pages[i]);
    }
    free(book->pages);
    free(book->release_name);
    free(book->state);
    free(book);
}

const struct planner_page *planner_book_page(const struct planner_book *book, uint16_t platform_id)
{
    for (size_t i = 0; i < book->page_count; i++)
        if (book->pages[i]->platform_id == platform_id)
            return book->pages[i];
    return &no_page;
}

void planner_book_pose(const struct planner_book *book, const struct plan_vector *from, bool allow_downgrade,
                       struct plan_problem *problem)
{
    const struct planner_page *page = planner_book_page(book, from->platform_id);
    *problem = (struct plan_problem){.from = from,
                                     .binaries = page->binaries,
                                     .binary_count = page->binary_count,
                                     .rules = (const struct plan_rule *const *)page->rules,
                                     .rule_count = page->rule_count,
                                     .allow_downgrade = allow_downgrade};
}
