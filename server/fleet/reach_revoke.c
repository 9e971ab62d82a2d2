/* reach_revoke.c: the end of a device's sessions on every node, when a key of it is withdrawn. */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/reach_inner.h"

#define AGAIN_MS 1000
#define REVOCATIONS_MAX 1000 /* while Redis is away; people revoke keys one by one */

struct revocation {
    struct revocation *prev, *next;
    struct device_id id;
};

static bool send_to_all(struct reach *reach, const struct device_id *id)
{
    char *text = reach_message_revoke(id);
    bool sent = nodes_send_all(reach->nodes, NODES_REVOKE, text, strlen(text));

    free(text);
    return sent;
}

static void on_again(struct deadline *d, uint64_t now_ms)
{
    struct reach *reach = (struct reach *)((char *)d - offsetof(struct reach, revoke));

    while (reach->revocations != NULL) {
        struct revocation *oldest = reach->revocations;
        if (!send_to_all(reach, &oldest->id)) {
            deadline_set(reach->deadlines, &reach->revoke, now_ms + AGAIN_MS, on_again);
            return;
        }
        DL_DELETE(reach->revocations, oldest);
        reach->revocation_count--;
        free(oldest);
    }
}

void reach_revoke(struct reach *reach, const struct device_id *id)
{
    char text[DEVICE_ID_TEXT_SIZE];

    if (reach->nodes == NULL || (reach->revocation_count == 0 && send_to_all(reach, id)))
        return;
    if (reach->revocation_count >= REVOCATIONS_MAX || reach->stopped) {
        device_id_format(text, id);
        log_error("revoke.not_told device=%s why=redis_away", text);
        return;
    }
    struct revocation *r = mem_alloc(sizeof(*r));
    r->id = *id;
    DL_APPEND(reach->revocations, r);
    reach->revocation_count++;
    if (!deadline_is_set(&reach->revoke))
        deadline_set(reach->deadlines, &reach->revoke, clock_ms() + AGAIN_MS, on_again);
}

void reach_revoke_receive(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct reach *reach = ctx;
    struct device_id id;

    (void)from;
    if (reach_message_read_revoke(&id, data, data_len))
        (void)devices_revoke(reach->devices, &id);
    else
        reach->malformed->value++;
}

void reach_revoke_free(struct reach *reach)
{
    struct revocation *r, *next;

    deadline_cancel(reach->deadlines, &reach->revoke);
    DL_FOREACH_SAFE (reach->revocations, r, next) {
        free(r);
    }
}
