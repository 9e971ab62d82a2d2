#include "swarm_loop.h"
#include "base/clock.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define RETRANSMIT_MS 3000 /* device-trace 2, item 7 */
#define RETRANSMIT_MAX_MS 24000

static void on_timer(uv_timer_t *timer)
{
    struct swarm_loop *l = timer->data;

    deadlines_run(&l->deadlines, clock_ms());
}

/* Before each poll: the timer goes to the first deadline. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct swarm_loop *l = prepare->data;
    uint64_t wait_ms = deadlines_next(&l->deadlines, clock_ms());

    if (wait_ms == UINT64_MAX) {
        uv_timer_stop(&l->timer);
        return;
    }
    uv_update_time(&l->uv);
    uv_timer_start(&l->timer, on_timer, wait_ms, 0);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct swarm_loop *l = signal->data;

    (void)number;
    l->stop(l->owner);
}

static void signal_start(struct swarm_loop *l, uv_signal_t *signal, int number)
{
    int err = uv_signal_init(&l->uv, signal);

    must(err == 0);
    signal->data = l;
    err = uv_signal_start(signal, on_signal, number);
    must(err == 0);
}

/* One socket a device: take what the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void swarm_loop_init(struct swarm_loop *l, const struct swarm_net_options *net, double time_scale,
                     void (*stop)(void *owner), void *owner)
{
    int err;

    memset(l, 0, sizeof(*l));
    l->stop = stop;
    l->owner = owner;
    raise_file_limit();
    err = uv_loop_init(&l->uv);
    must(err == 0);
    deadlines_init(&l->deadlines);
    err = uv_timer_init(&l->uv, &l->timer);
    must(err == 0);
    l->timer.data = l;
    err = uv_prepare_init(&l->uv, &l->prepare);
    must(err == 0);
    l->prepare.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    signal_start(l, &l->interrupt, SIGINT);
    signal_start(l, &l->terminate, SIGTERM);
    (void)signal(SIGPIPE, SIG_IGN);
    l->env.deadlines = &l->deadlines;
    l->env.crypto = swarm_crypto_new();
    l->env.net = swarm_net_new(&l->uv, &l->deadlines, net);
    l->env.replay.deadlines = &l->deadlines;
    l->env.replay.crypto = l->env.crypto;
    l->env.replay.net = l->env.net;
    l->env.retransmit_ms = (uint32_t)(RETRANSMIT_MS * time_scale);
    l->env.retransmit_max_ms = (uint32_t)(RETRANSMIT_MAX_MS * time_scale);
}

void swarm_loop_run(struct swarm_loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void swarm_loop_end(struct swarm_loop *l)
{
    uv_stop(&l->uv);
}

void swarm_loop_deinit(struct swarm_loop *l)
{
    int err;

    swarm_net_close(l->env.net);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->interrupt, NULL);
    uv_close((uv_handle_t *)&l->terminate, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    err = uv_loop_close(&l->uv);
    must(err == 0);
    deadlines_deinit(&l->deadlines);
    swarm_crypto_free(l->env.crypto);
}
