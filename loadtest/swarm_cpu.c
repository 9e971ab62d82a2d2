#include "swarm_cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

/* utime + stime of /proc/PID/stat, fields 14 and 15: the 12th and 13th word after the name (proc(5)). */
double swarm_cpu_of(double pid)
{
    char path[64], line[1024], *word, *save = NULL;
    unsigned long long ticks = 0;
    FILE *file;

    if (pid < 1)
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    word = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    (void)fclose(file);
    if (!word)
        return 0;
    word = strtok_r(word + 1, " ", &save);
    for (int i = 1; word && i <= 13; i++, word = strtok_r(NULL, " ", &save))
        if (i >= 12)
            ticks += strtoull(word, NULL, 10);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double swarm_cpu_own(void)
{
    struct rusage use;

    if (getrusage(RUSAGE_SELF, &use) != 0)
        return 0;
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

struct swarm_cores swarm_cpu_cores(void)
{
    struct swarm_cores cores = {0};
    uv_cpu_info_t *infos = NULL;
    int count = 0;

    if (uv_cpu_info(&infos, &count) != 0)
        return cores;
    for (int i = 0; i < count; i++) {
        double busy_ms = (double)infos[i].cpu_times.user + (double)infos[i].cpu_times.nice +
                         (double)infos[i].cpu_times.sys + (double)infos[i].cpu_times.irq;

        cores.busy_s += busy_ms / 1000.0;
        cores.all_s += (busy_ms + (double)infos[i].cpu_times.idle) / 1000.0;
    }
    uv_free_cpu_info(infos, count);
    return cores;
}

/* The second number of /proc/self/statm (proc(5)). */
uint64_t swarm_resident_own_bytes(void)
{
    char line[128], *end = NULL;
    FILE *file = fopen("/proc/self/statm", "re");
    uint64_t pages = 0;

    if (!file)
        return 0;
    if (fgets(line, sizeof(line), file)) {
        (void)strtoull(line, &end, 10);
        pages = strtoull(end, NULL, 10);
    }
    (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
