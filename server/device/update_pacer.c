#include "device/update_pacer.h"

#include <stdio.h>

#include <utlist.h>

#include "device/update_inner.h"

_Static_assert(sizeof(((struct update_pacer *)0)->ended) / sizeof(struct metric *) ==
                   DEVICE_UPDATE_STOPPED + 1,
               "one for each end");

void update_pacer_init(struct update_pacer *pacer, struct deadlines *deadlines, struct metrics *metrics)
{
    char label[48];

    *pacer = (struct update_pacer){.deadlines = deadlines};
    pacer->running = metrics_add(metrics, METRIC_GAUGE, "cyan_device_updates_running", NULL,
                                 "Updates that are being sent to devices");
    pacer->started = metrics_add(metrics, METRIC_COUNTER, "cyan_device_updates_started_total", NULL,
                                 "Updates of devices that were started");
    pacer->sent_bytes = metrics_add(metrics, METRIC_COUNTER, "cyan_device_update_sent_bytes_total", NULL,
                                    "Bytes of files sent to devices, what was sent again included");
    pacer->resent_bytes = metrics_add(metrics, METRIC_COUNTER, "cyan_device_update_resent_bytes_total", NULL,
                                      "Bytes of files sent to devices again");
    for (int end = 0; end <= DEVICE_UPDATE_STOPPED; end++) {
        (void)snprintf(label, sizeof(label), "end=\"%s\"",
                       device_update_end_name((enum device_update_end)end));
        pacer->ended[end] = metrics_add(metrics, METRIC_COUNTER, "cyan_device_updates_ended_total", label,
                                        "Updates of devices by how they ended");
    }
}

void update_pacer_deinit(struct update_pacer *pacer)
{
    must(pacer->queue == NULL);
    deadline_cancel(pacer->deadlines, &pacer->turn);
}

static void on_turn(struct deadline *turn, uint64_t now_ms);

static void set_turn(struct update_pacer *pacer, uint64_t now_ms)
{
    uint64_t at_ms = pacer->turn_ms + 1 > now_ms ? pacer->turn_ms + 1 : now_ms;

    if (!deadline_is_set(&pacer->turn))
        deadline_set(pacer->deadlines, &pacer->turn, at_ms, on_turn);
}

/* Returns how many chunks it sent. */
static unsigned take_share(struct device_update *update, uint64_t now_ms)
{
    unsigned sent = 0;

    while (sent < UPDATE_SHARE_CHUNKS && update_sends(update) &&
           update->protocol->next_ms(update, now_ms) == 0) {
        update->protocol->send(update, now_ms);
        sent++;
    }
    return sent;
}

static void on_turn(struct deadline *turn, uint64_t now_ms)
{
    struct update_pacer *pacer = (struct update_pacer *)((char *)turn - offsetof(struct update_pacer, turn));
    unsigned sent = 0;

    pacer->turn_ms = now_ms;
    while (sent < UPDATE_TURN_CHUNKS && pacer->queue != NULL) {
        struct device_update *update = pacer->queue;
        update_pacer_leave(pacer, update);
        sent += 1 + take_share(update, now_ms); /* one that can send nothing costs a little too */
        update_go_on(update, now_ms);           /* perhaps to the end of the queue */
    }
    if (pacer->queue != NULL)
        set_turn(pacer, now_ms);
}

void update_pacer_join(struct update_pacer *pacer, struct device_update *update, uint64_t now_ms)
{
    if (update->is_queued)
        return;
    update->is_queued = true;
    DL_APPEND(pacer->queue, update);
    set_turn(pacer, now_ms);
}

void update_pacer_leave(struct update_pacer *pacer, struct device_update *update)
{
    if (!update->is_queued)
        return;
    update->is_queued = false;
    DL_DELETE(pacer->queue, update);
}
