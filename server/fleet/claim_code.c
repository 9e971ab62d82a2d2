#include "fleet/claim_code.h"

#include <openssl/sha.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "fleet/room.h"

static const struct pg_statement create_claim_code = {
    .name = "create_claim_code",
    .sql = "SELECT wait_s, devices FROM create_claim_code($1::bigint, $2::text, $3::bytea, $4::integer, "
           "$5::bigint, $6::integer)",
    .params = 6,
};

struct code_wait {
    claim_code_fn *done;
    void *arg;
    char text[CLAIM_CODE_LEN + 1];
};

static void draw(char text[CLAIM_CODE_LEN + 1])
{
    static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t drawn[CLAIM_CODE_LEN];

    random_bytes(drawn, sizeof drawn);
    for (size_t i = 0; i < CLAIM_CODE_LEN; i++)
        text[i] = alphabet[drawn[i] % sizeof alphabet];
    text[CLAIM_CODE_LEN] = '\0';
    bytes_wipe(drawn, sizeof drawn);
}

static void on_created(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct code_wait *wait = arg;
    struct claim_code code = {.text = wait->text};
    uint32_t wait_s = 0;
    enum fleet_err ferr = fleet_err_of(err, result, "create_claim_code");
    if (ferr == FLEET_OK && !pg_is_null(result, 0, 0)) {
        wait_s = (uint32_t)pg_int(result, 0, 0);
        ferr = FLEET_CONFLICT;
    }
    if (ferr == FLEET_OK)
        code.devices = pg_value(result, 0, 1);
    wait->done(wait->arg, ferr, ferr == FLEET_OK ? &code : NULL, wait_s);
    bytes_wipe(wait->text, sizeof wait->text);
    free(wait);
}

void fleet_create_claim_code(struct fleet *f, const struct fleet_actor *actor, int product_id,
                             claim_code_fn *done, void *arg)
{
    struct code_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user, product, valid, most;
    uint8_t sha256[SHA256_DIGEST_LENGTH];
    wait->done = done;
    wait->arg = arg;
    draw(wait->text);
    SHA256((const uint8_t *)wait->text, CLAIM_CODE_LEN, sha256);
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        pg_bytes(sha256, sizeof sha256),
        product_id > 0 ? fleet_int(&product, product_id) : pg_text(NULL),
        fleet_int(&valid, (int64_t)f->settings.claim_code_valid_ms),
        fleet_int(&most, CLAIM_CODES_MAX_UNUSED),
    };
    pg_exec(f->pg, &create_claim_code, params, fleet_patience_ms(f), PG_RETRY, on_created, wait);
}
