/* query.h: a path with a query, put together piece by piece. Ownership: query_init fills it, query_deinit
 * takes it. */
#ifndef CYAN_CLI_QUERY_H
#define CYAN_CLI_QUERY_H

struct query {
    char *path; /* encoded; ours */
};
void query_init(struct query *q, const char *path /* encoded */);
void query_deinit(struct query *q);
void query_add(struct query *q, const char *name, const char *value); /* value NULL: nothing */

#endif
