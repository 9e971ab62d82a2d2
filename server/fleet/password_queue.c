#include "fleet/password_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"

/* On the thread only what stands below `on the thread` is touched. */
struct job {
    uv_work_t work;
    struct password_queue *queue; /* NULL: answered already */
    password_fn *done;
    void *arg;
    struct job *prev, *next;
    /* on the thread */
    struct password_cost cost;
    bool verifies;
    char phc[PASSWORD_PHC_SIZE]; /* in: to verify against; out: to keep, or "" */
    enum password_answer answer;
    char password[PASSWORD_MAX + 1];
};

struct password_queue {
    uv_loop_t *loop;
    struct job *waiting, *working; /* ours */
    size_t waiting_count, working_count;
    bool stopped;
    struct metric *hashed, *refused;
};

struct password_queue *password_queue_new(uv_loop_t *loop, struct metrics *metrics)
{
    struct password_queue *q = mem_alloc(sizeof *q);
    q->loop = loop;
    q->hashed = metrics_add(metrics, METRIC_COUNTER, "cyan_passwords_hashed_total", NULL,
                            "Passwords made or verified.");
    q->refused = metrics_add(metrics, METRIC_COUNTER, "cyan_passwords_refused_total", NULL,
                             "Passwords not looked at because too many waited already.");
    return q;
}

static void job_free(struct job *job)
{
    bytes_wipe(job, sizeof *job);
    free(job);
}

static void answer(struct job *job, enum password_answer answer)
{
    job->done(job->arg, answer, answer == PASSWORD_RIGHT ? job->phc : "");
}

static void on_thread(uv_work_t *work)
{
    struct job *job = work->data;
    bool right = !job->verifies || password_verify(job->phc, job->password);
    bool makes = right && (!job->verifies || password_is_stale(job->phc, &job->cost));
    if (!right) {
        job->answer = PASSWORD_WRONG;
        return;
    }
    job->answer = PASSWORD_RIGHT;
    if (!makes)
        job->phc[0] = '\0';
    else if (!password_hash(job->phc, job->password, &job->cost)) {
        job->phc[0] = '\0';
        job->answer = job->verifies ? PASSWORD_RIGHT : PASSWORD_FAULT;
    }
}

static void work_more(struct password_queue *q);

static void on_worked(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct password_queue *q = job->queue;
    (void)status; /* nobody cancels it */
    if (!q) {
        job_free(job);
        return;
    }
    DL_DELETE(q->working, job);
    q->working_count--;
    q->hashed->value++;
    if (job->answer == PASSWORD_FAULT)
        log_error("password.fault why=argon2 memory_kib=%u iterations=%u", job->cost.memory_kib,
                  job->cost.iterations);
    work_more(q);
    answer(job, job->answer);
    job_free(job);
}

static void work_more(struct password_queue *q)
{
    while (q->waiting && q->working_count < PASSWORD_QUEUE_THREADS) {
        struct job *job = q->waiting;
        DL_DELETE(q->waiting, job);
        q->waiting_count--;
        DL_APPEND(q->working, job);
        q->working_count++;
        must(uv_queue_work(q->loop, &job->work, on_thread, on_worked) == 0);
    }
}

/* NULL: refused. */
static struct job *job_new(struct password_queue *q, const char *password, const struct password_cost *cost)
{
    if (q->stopped || q->waiting_count >= PASSWORD_QUEUE_MAX) {
        q->refused->value++;
        return NULL;
    }
    struct job *job = mem_alloc(sizeof *job);
    job->queue = q;
    job->cost = *cost;
    job->work.data = job;
    /* cut: what is longer than any password is wrong, and not because of its end */
    snprintf(job->password, sizeof job->password, "%s", password);
    return job;
}

static void start(struct password_queue *q, struct job *job, password_fn *done, void *arg)
{
    job->done = done;
    job->arg = arg;
    DL_APPEND(q->waiting, job);
    q->waiting_count++;
    work_more(q);
}

bool password_queue_hash(struct password_queue *q, const char *password, const struct password_cost *cost,
                         password_fn *done, void *arg)
{
    struct job *job = job_new(q, password, cost);
    if (!job)
        return false;
    start(q, job, done, arg);
    return true;
}

bool password_queue_verify(struct password_queue *q, const char *phc, const char *password,
                           const struct password_cost *cost, password_fn *done, void *arg)
{
    struct job *job = job_new(q, password, cost);
    if (!job)
        return false;
    job->verifies = true;
    if (phc && strlen(phc) < sizeof job->phc && strlen(password) <= PASSWORD_MAX)
        memcpy(job->phc, phc, strlen(phc) + 1);
    else
        password_dummy(job->phc, cost);
    start(q, job, done, arg);
    return true;
}

void password_queue_stop(struct password_queue *q)
{
    q->stopped = true;
    while (q->working) {
        struct job *job = q->working;
        DL_DELETE(q->working, job);
        job->queue = NULL; /* freed when its thread is done */
        answer(job, PASSWORD_AWAY);
    }
    while (q->waiting) {
        struct job *job = q->waiting;
        DL_DELETE(q->waiting, job);
        answer(job, PASSWORD_AWAY);
        job_free(job);
    }
    q->waiting_count = q->working_count = 0;
}

void password_queue_free(struct password_queue *q)
{
    password_queue_stop(q);
    free(q);
}
