#include "private_postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_LIMIT_S 60

static bool find_program(char *out, size_t out_size, const char *name)
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "/usr/lib/postgresql/*/bin/%s", name);
    if (glob(pattern, 0, NULL, &found) != 0)
        return false;
    snprintf(out, out_size, "%s", found.gl_pathv[found.gl_pathc - 1]); /* the newest: glob sorts */
    globfree(&found);
    return true;
}

static const struct passwd *unprivileged(void)
{
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

/* In the child: become who may run Postgres, in a process group of its own, and end with the parent. */
static void prepare_child(const struct private_postgres *p, pid_t parent)
{
    char log_path[96];
    setpgid(0, 0);
    if (geteuid() == 0) {
        const struct passwd *user = unprivileged();
        if (!user || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
            _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* Postgres: immediate shutdown, children included */
    if (getppid() != parent || chdir(p->folder) != 0)
        _exit(126);
    snprintf(log_path, sizeof log_path, "%s/log", p->folder);
    int log_file = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(log_file, 1);
    dup2(log_file, 2);
}

static void print_log(const struct private_postgres *p)
{
    char path[96], line[512];
    snprintf(path, sizeof path, "%s/log", p->folder);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        fputs(line, stderr);
    if (file)
        fclose(file);
}

static bool make_cluster(const struct private_postgres *p, const char *initdb)
{
    char data[80];
    pid_t parent = getpid(), pid = fork();
    int status = -1;
    snprintf(data, sizeof data, "%s/data", p->folder);
    if (pid == 0) {
        prepare_child(p, parent);
        execl(initdb, initdb, "-D", data, "-U", "cyan", "-A", "trust", "-E", "UTF8", "--locale=C",
              "--no-sync", NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool private_postgres_init(struct private_postgres *p)
{
    char initdb[128];
    *p = (struct private_postgres){.folder = "/tmp/cyan-test-pg-XXXXXX"};
    if (!find_program(initdb, sizeof initdb, "initdb")) {
        fprintf(stderr, "no PostgreSQL server programs found\n");
        return false;
    }
    if (!mkdtemp(p->folder))
        return false;
    if (geteuid() == 0 && chown(p->folder, unprivileged()->pw_uid, unprivileged()->pw_gid) != 0)
        return false;
    snprintf(p->conninfo, sizeof p->conninfo, "host=%s user=cyan dbname=postgres", p->folder);
    if (!make_cluster(p, initdb)) {
        print_log(p);
        return false;
    }
    return private_postgres_start(p);
}

static bool takes_connections(const struct private_postgres *p)
{
    PGconn *conn = PQconnectdb(p->conninfo);
    bool fine = PQstatus(conn) == CONNECTION_OK;
    PQfinish(conn);
    return fine;
}

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void launch(struct private_postgres *p, const char *program)
{
    char data[80];
    pid_t parent = getpid();
    snprintf(data, sizeof data, "%s/data", p->folder);
    p->pid = fork();
    if (p->pid == 0) {
        prepare_child(p, parent);
        execl(program, program, "-D", data, "-k", p->folder, "-c", "listen_addresses=", "-c", "fsync=off",
              "-c", "max_connections=20", "-c", "shared_buffers=16MB", NULL);
        _exit(127);
    }
}

/* After a kill -9 the remains of the old processes may hold the cluster for a moment: launched again until it
 * holds. */
bool private_postgres_start(struct private_postgres *p)
{
    char program[128];
    time_t limit = time(NULL) + START_LIMIT_S;
    if (!find_program(program, sizeof program, "postgres"))
        return false;
    launch(p, program);
    while (time(NULL) < limit) {
        if (takes_connections(p))
            return true;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid)
            launch(p, program);
        sleep_ms(50);
    }
    print_log(p);
    return false;
}

/* Each process of Postgres leads a session of its own: they are known by their parent. */
static void signal_children(pid_t parent, int sig)
{
    char path[64], line[512];
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *file = pid > 0 ? fopen(path, "r") : NULL;
        if (!file)
            continue;
        const char *rest =
            fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL; /* `pid (name) S ppid ...` */
        if (rest && strlen(rest) > 4 && strtol(rest + 4, NULL, 10) == parent)
            kill(pid, sig);
        fclose(file);
    }
    if (proc)
        closedir(proc);
}

void private_postgres_kill(struct private_postgres *p)
{
    if (!p->pid)
        return;
    kill(p->pid, SIGSTOP); /* it starts no more children */
    signal_children(p->pid, SIGKILL);
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void private_postgres_freeze(struct private_postgres *p)
{
    kill(p->pid, SIGSTOP);
    signal_children(p->pid, SIGSTOP);
}

void private_postgres_thaw(struct private_postgres *p)
{
    signal_children(p->pid, SIGCONT);
    kill(p->pid, SIGCONT);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void private_postgres_deinit(struct private_postgres *p)
{
    if (p->pid) {
        private_postgres_thaw(p);
        kill(p->pid, SIGQUIT);
        waitpid(p->pid, NULL, 0);
        p->pid = 0;
    }
    nftw(p->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
