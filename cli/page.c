#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rest.h"

static const json_t *rows_of(const json_t *answer, const char *key)
{
    return key != NULL ? json_object_get(answer, key) : answer;
}

static void print_row(const struct page_list *list, const json_t *row, uint64_t number)
{
    if (number > 0)
        (void)fputs(",\n", stdout);
    else if (list->key != NULL)
        (void)printf("{\"%s\":[\n", list->key);
    else
        (void)fputs("[\n", stdout);
    (void)json_dumpf(row, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void print_end(const struct page_list *list, uint64_t count)
{
    if (count == 0)
        (void)fputs(list->key != NULL ? "{\"" : "[", stdout);
    if (count == 0 && list->key != NULL)
        (void)printf("%s\":[", list->key);
    (void)fputs(list->key != NULL ? "]}\n" : "]\n", stdout);
}

enum cli_exit page_each(const struct cli *cli, const struct page_list *list, page_row_fn *row, void *arg)
{
    uint32_t per_page =
        list->limit > 0 && list->limit < list->per_page ? (uint32_t)list->limit : list->per_page;
    uint64_t count = 0;
    bool more = true;

    for (unsigned page = 1; more; page++) {
        json_t *answer, *one;
        size_t i;
        char *path = mem_printf("%s%cpage=%u&per_page=%u", list->path,
                                strchr(list->path, '?') != NULL ? '&' : '?', page, per_page);
        enum cli_exit code = cli_ask(cli, &(struct rest_request){.path = path}, &answer);
        free(path);
        if (code != CLI_OK)
            return code;
        const json_t *rows = rows_of(answer, list->key);
        json_array_foreach (rows, i, one) {
            if (list->limit > 0 && count == list->limit)
                break;
            if (cli->json)
                print_row(list, one, count);
            else
                row(arg, one);
            count++;
        }
        more = json_array_size(rows) >= per_page && (list->limit == 0 || count < list->limit);
        json_decref(answer);
    }
    if (cli->json)
        print_end(list, count);
    return CLI_OK;
}
