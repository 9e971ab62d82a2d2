#include "private_redis.h"

#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_LIMIT_S 60
#define WORDS_MAX 16

/* In the child: a process group of its own, and an end with the parent. */
static void prepare_child(const struct private_redis *p, pid_t parent)
{
    char log_path[96];
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || chdir(p->folder) != 0)
        _exit(126);
    snprintf(log_path, sizeof log_path, "%s/log", p->folder);
    int log_file = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(log_file, 1);
    dup2(log_file, 2);
}

static void launch(struct private_redis *p)
{
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid != 0)
        return;
    prepare_child(p, parent);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", p->socket, "--unixsocketperm",
           "700", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--databases", "16",
           "--requirepass", p->password, NULL);
    _exit(127);
}

static redisContext *open_context(const struct private_redis *p)
{
    redisContext *c = redisConnectUnix(p->socket);
    if (c && c->err == 0 && p->password[0] != '\0')
        freeReplyObject(redisCommand(c, "AUTH %s", p->password));
    if (c && c->err == 0)
        return c;
    if (c)
        redisFree(c);
    return NULL;
}

static bool answers(const struct private_redis *p)
{
    redisContext *c = open_context(p);
    redisReply *reply = c ? redisCommand(c, "PING") : NULL;
    bool fine = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (c)
        redisFree(c);
    return fine;
}

static void print_log(const struct private_redis *p)
{
    char path[96], line[512];
    snprintf(path, sizeof path, "%s/log", p->folder);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        fputs(line, stderr);
    if (file)
        fclose(file);
}

bool private_redis_start(struct private_redis *p)
{
    time_t limit = time(NULL) + START_LIMIT_S;
    const struct timespec pause = {.tv_nsec = 10000000};
    launch(p);
    while (time(NULL) < limit) {
        if (answers(p))
            return true;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid)
            break;
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "no redis-server that starts\n");
    print_log(p);
    return false;
}

bool private_redis_init(struct private_redis *p)
{
    *p = (struct private_redis){.folder = "/tmp/cyan-test-redis-XXXXXX"};
    signal(SIGPIPE, SIG_IGN); /* as in cyand */
    if (!mkdtemp(p->folder))
        return false;
    snprintf(p->socket, sizeof p->socket, "%s/socket", p->folder);
    return private_redis_start(p);
}

void private_redis_kill(struct private_redis *p)
{
    if (!p->pid)
        return;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void private_redis_freeze(struct private_redis *p)
{
    kill(p->pid, SIGSTOP);
}

void private_redis_thaw(struct private_redis *p)
{
    kill(p->pid, SIGCONT);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void private_redis_deinit(struct private_redis *p)
{
    private_redis_kill(p);
    nftw(p->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void print_reply(char *out, size_t out_size, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(out, out_size, "%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        snprintf(out, out_size, "%zu", reply->elements);
    else
        snprintf(out, out_size, "%s", reply->str ? reply->str : "(nil)");
}

const char *private_redis_ask(const struct private_redis *p, char *out, size_t out_size, const char *word,
                              ...)
{
    const char *words[WORDS_MAX];
    int count = 0;
    va_list args;
    va_start(args, word);
    for (; word && count < WORDS_MAX; word = va_arg(args, const char *))
        words[count++] = word;
    va_end(args);
    redisContext *c = open_context(p);
    redisReply *reply = c ? redisCommandArgv(c, count, words, NULL) : NULL;
    snprintf(out, out_size, "(no answer)");
    if (reply)
        print_reply(out, out_size, reply);
    freeReplyObject(reply);
    if (c)
        redisFree(c);
    return out;
}
