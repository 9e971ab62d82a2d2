/* page.h: a list of the server, fetched page after page until its end or --limit. */
#ifndef CYAN_CLI_PAGE_H
#define CYAN_CLI_PAGE_H

#include "cli.h"

struct page_list {
    const char *path;  /* encoded, with its query */
    const char *key;   /* the member that is the list; NULL: the answer is */
    uint64_t limit;    /* rows; 0: all */
    uint32_t per_page; /* what the server gives at once */
};
typedef void page_row_fn(void *arg, const json_t *row);

/* Calls row for each; with --json prints them as one list of the same shape instead. */
must_check enum cli_exit page_each(const struct cli *cli, const struct page_list *list, page_row_fn *row,
                                   void *arg);

#endif
