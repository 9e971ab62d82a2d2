/* nodes_process.c: who holds a lease, and whether that process still runs.
 *
 * A node that was killed holds its lease until it expires. Its successor on the same host need not wait: it
 * looks whether the process is still there. Same host means the same boot and the same process namespace,
 * since containers of one host number their processes anew. */
#include "store/nodes_inner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNKNOWN_HOST "-"

/* A line of a file of /proc, without its end; false when there is none. */
static bool read_line(char *out, size_t out_size, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool ok = fgets(out, (int)out_size, file) != NULL;
    (void)fclose(file);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok && out[0] != '\0';
}

static void find_host(char out[96])
{
    char boot[40], namespace[40];
    ssize_t len = readlink("/proc/self/ns/pid", namespace, sizeof namespace - 1);
    if (len <= 0 || !read_line(boot, sizeof boot, "/proc/sys/kernel/random/boot_id")) {
        (void)snprintf(out, 96, UNKNOWN_HOST);
        return;
    }
    namespace[len] = '\0';
    (void)snprintf(out, 96, "%s/%s", boot, namespace);
}

/* proc(5), /proc/PID/stat: state is the 3rd field and start time the 22nd, counted after the name in
 * brackets, which may hold anything. False: no such process, or not to be seen. */
static bool read_stat(int64_t pid, char *state, uint64_t *started)
{
    char path[48], line[1024];
    unsigned long long ticks = 0;
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (!read_line(line, sizeof line, path))
        return false;
    const char *at = strrchr(line, ')');
    if (!at ||
        sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               state, &ticks) != 2)
        return false;
    *started = ticks;
    return true;
}

void nodes_process_self(struct nodes_process *p)
{
    char state;
    *p = (struct nodes_process){.pid = getpid()};
    find_host(p->host);
    if (!read_stat(p->pid, &state, &p->started))
        p->started = 0;
    if (gethostname(p->name, sizeof p->name - 1) != 0 || p->name[0] == '\0')
        (void)snprintf(p->name, sizeof p->name, UNKNOWN_HOST);
    for (char *c = p->name; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"')
            *c = '_';
}

bool nodes_process_is_near(const struct nodes_process *p, const struct nodes_process *self)
{
    return strcmp(self->host, UNKNOWN_HOST) != 0 && strcmp(p->host, self->host) == 0;
}

bool nodes_process_is_alive(const struct nodes_process *p)
{
    char state;
    uint64_t started;
    if (p->pid <= 0 || p->pid > INT32_MAX)
        return false;
    if (kill((pid_t)p->pid, 0) != 0 && errno == ESRCH)
        return false;
    if (!read_stat(p->pid, &state, &started)) /* another user's, hidden from us */
        return true;
    if (state == 'Z' || state == 'X')
        return false;
    return p->started == 0 || p->started == started;
}

void nodes_text_print(char *out, size_t out_size, const char *nonce, const struct nodes_process *self,
                      const char *describe)
{
    (void)snprintf(out, out_size, "%s %s %lld %llu %s %s", nonce, self->host, (long long)self->pid,
                   (unsigned long long)self->started, self->name, describe);
}

/* The next word of text, which one space ends. */
static bool next_word(const char **text, char *out, size_t out_size)
{
    size_t len = strcspn(*text, " ");
    if (len == 0 || len >= out_size || (*text)[len] == '\0')
        return false;
    memcpy(out, *text, len);
    out[len] = '\0';
    *text += len + 1;
    return true;
}

static bool next_number(const char **text, uint64_t *number)
{
    char word[21], *end;
    if (!next_word(text, word, sizeof word) || word[0] < '0' || word[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(word, &end, 10);
    return errno == 0 && *end == '\0';
}

bool nodes_text_parse(struct nodes_text *t, const char *text, size_t text_len)
{
    uint64_t pid;
    *t = (struct nodes_text){0};
    if (text_len > NODES_TEXT_MAX || strlen(text) != text_len)
        return false;
    if (!next_number(&text, &t->incarnation) || !next_word(&text, t->nonce, sizeof t->nonce) ||
        !next_word(&text, t->holder.host, sizeof t->holder.host) || !next_number(&text, &pid) ||
        !next_number(&text, &t->holder.started) || !next_word(&text, t->holder.name, sizeof t->holder.name))
        return false;
    t->holder.pid = pid > INT32_MAX ? 0 : (int64_t)pid;
    t->describe = text;
    return t->incarnation > 0;
}
