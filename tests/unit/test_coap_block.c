/* Bodies in blocks: Block1 from the peer with both token habits, Block2 pulled from it and served to it. */
#include "test_coap.h"

#define TOO_MUCH (COAP_BODY_MAX + 1024)

static uint8_t body_byte(size_t at)
{
    return (uint8_t)(at * 7 + at / 1024);
}

static void fill(uint8_t *out, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = body_byte(at + i);
}

static void check_body(const uint8_t *body, size_t body_len, size_t expected_len)
{
    assert_int_equal(body_len, expected_len);
    for (size_t i = 0; i < body_len; i++)
        assert_int_equal(body[i], body_byte(i));
}

/* One Block1 piece of POST /d?02 with a body of the given length. */
struct piece {
    enum coap_type type;
    uint16_t mid;
    uint8_t token;
    uint32_t num;
    uint8_t szx;
    bool more;
    size_t payload_len;
};

static void receive_piece(struct bench *b, const struct piece *p)
{
    uint8_t data[COAP_MESSAGE_MAX + 1024], payload[2048];
    struct coap_builder builder;
    struct coap_block block = {p->num, p->more, p->szx};

    fill(payload, (size_t)p->num << (p->szx + 4), p->payload_len);
    coap_build(&builder, data, sizeof(data), p->type, COAP_POST, p->mid, &p->token, 1);
    coap_build_option(&builder, COAP_OPT_URI_PATH, "d", 1);
    coap_build_option(&builder, COAP_OPT_URI_QUERY, "\x02", 1);
    coap_build_option_uint(&builder, COAP_OPT_BLOCK1, coap_block_encode(&block));
    coap_build_payload(&builder, payload, p->payload_len);
    size_t len = coap_build_finish(&builder);
    assert_true(len > 0);
    bench_receive_bytes(b, data, len);
}

static void expect_bodies_let_go(struct bench *b)
{
    assert_true(b->metrics.gathered->value > 0);
    bench_pass(b, COAP_DEDUP_MS);
    bench_expect_nothing_held(b);
}

/* --- Block1 --- */

static void describe_pushed_by_a_device(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct piece first = {COAP_CON, 6, 0x80, 0, 6, true, 1024};
    struct piece last = {COAP_CON, 11, 0x81, 1, 6, false, 581}; /* a new token for each block */

    receive_piece(b, &first);
    bench_expect_sent(b, "615f000680");
    bench_receive(b, "40020007b145016fff31"); /* others come in between */
    assert_int_equal(b->request_count, 1);
    receive_piece(b, &first); /* our answer was lost */
    bench_expect_sent(b, "615f000680");
    receive_piece(b, &last);
    assert_int_equal(b->request_count, 2);
    assert_string_equal(b->requests[1].path, "d");
    check_body(b->requests[1].body, b->requests[1].body_len, 1024 + 581);
    bench_pass(b, 5000);
    receive_piece(b, &last); /* not durable yet */
    bench_expect_quiet(b);
    assert_int_equal(b->request_count, 2);
    bench_answer(b, 1, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "6000000b");
    assert_null(b->peer.bodies);
    receive_piece(b, &last);
    bench_expect_sent(b, "6000000b");
    bench_free(b);
}

static void last_block_is_taken_again_after_forget(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct piece first = {COAP_CON, 6, 0x80, 0, 6, true, 1024};
    struct piece last = {COAP_CON, 11, 0x81, 1, 6, false, 581};

    receive_piece(b, &first);
    receive_piece(b, &last);
    coap_forget(&b->peer, b->requests[0].in);
    bench_pass(b, 5000);
    receive_piece(b, &last);
    assert_int_equal(b->request_count, 2);
    check_body(b->requests[1].body, b->requests[1].body_len, 1024 + 581);
    bench_answer(b, 1, COAP_EMPTY, NULL, 0);
    assert_null(b->peer.bodies);
    bench_free(b);
}

static void upload_by_an_rfc_client(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    receive_piece(b, &(struct piece){COAP_CON, 1, 0x33, 0, 4, true, 256}); /* one token throughout */
    bench_expect_sent(b, "615f000133d10e0c");                              /* 2.31 with Block1 0/1/256 */
    receive_piece(b, &(struct piece){COAP_CON, 2, 0x33, 1, 4, true, 256});
    bench_expect_sent(b, "615f000233d10e1c");
    receive_piece(b, &(struct piece){COAP_CON, 3, 0x33, 1, 4, true, 256}); /* again, under a new ID */
    bench_expect_sent(b, "615f000333d10e1c");
    receive_piece(b, &(struct piece){COAP_CON, 4, 0x33, 16, 1, true, 32}); /* smaller blocks from here on */
    bench_expect_sent(b, "615f000433d20e0109");
    receive_piece(b, &(struct piece){COAP_CON, 5, 0x33, 17, 1, false, 7});
    assert_int_equal(b->request_count, 1);
    check_body(b->requests[0].body, b->requests[0].body_len, 512 + 32 + 7);
    bench_answer(b, 0, COAP_204_CHANGED, NULL, 0);
    bench_expect_sent(b, "6144000533d20e0111");
    bench_free(b);
}

static void single_block(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    receive_piece(b, &(struct piece){COAP_CON, 1, 0x33, 0, 6, false, 5});
    check_body(b->requests[0].body, b->requests[0].body_len, 5);
    assert_null(b->peer.bodies);
    bench_free(b);
}

static void blocks_out_of_order(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    receive_piece(b, &(struct piece){COAP_CON, 1, 0x33, 1, 6, true, 1024}); /* the first was never seen */
    bench_expect_sent(b, "6188000133d10e1e");
    receive_piece(b, &(struct piece){COAP_CON, 2, 0x33, 0, 6, true, 1024});
    bench_expect_sent(b, "615f000233d10e0e");
    receive_piece(b, &(struct piece){COAP_CON, 3, 0x33, 2, 6, true, 1024}); /* one left out */
    bench_expect_sent(b, "6188000333d10e2e");
    receive_piece(b, &(struct piece){COAP_CON, 4, 0x33, 2, 6, false, 3});
    bench_expect_sent(b, "6188000433d10e26");
    receive_piece(b, &(struct piece){COAP_CON, 5, 0x33, 1, 6, true, 1024}); /* now it comes */
    bench_expect_sent(b, "615f000533d10e1e");
    receive_piece(b, &(struct piece){COAP_CON, 6, 0x33, 2, 6, false, 3});
    assert_int_equal(b->request_count, 1);
    check_body(b->requests[0].body, b->requests[0].body_len, 2051);
    bench_free(b);
}

static void first_block_begins_anew(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    receive_piece(b, &(struct piece){COAP_CON, 1, 1, 0, 6, true, 1024});
    receive_piece(b, &(struct piece){COAP_CON, 2, 2, 1, 6, true, 1024});
    receive_piece(
        b, &(struct piece){COAP_CON, 3, 3, 0, 6, true, 1024}); /* the device gave up and started over */
    receive_piece(b, &(struct piece){COAP_CON, 4, 4, 1, 6, false, 1});
    assert_int_equal(b->request_count, 1);
    check_body(b->requests[0].body, b->requests[0].body_len, 1025);
    bench_free(b);
}

static void blocks_of_the_wrong_size(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    receive_piece(b, &(struct piece){COAP_CON, 1, 0x33, 0, 6, true, 1023});
    bench_expect_sent(b, "6180000133d10e0e");
    receive_piece(b, &(struct piece){COAP_CON, 2, 0x33, 0, 0, false, 17});
    bench_expect_sent(b, "6180000233d00e");
    assert_int_equal(b->request_count, 0);
    bench_free(b);
}

static void body_too_large(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    uint16_t mid = 1;
    for (uint32_t num = 0; num < COAP_BODY_MAX / 1024; num++)
        receive_piece(b, &(struct piece){COAP_CON, mid++, 1, num, 6, true, 1024});
    assert_int_equal(b->sent[b->sent_count - 1].data[1], COAP_231_CONTINUE);
    b->sent_read = b->sent_count;
    receive_piece(b, &(struct piece){COAP_CON, mid, 1, COAP_BODY_MAX / 1024, 6, false, 1});
    bench_expect_sent(b, "618d004101d32f010000"); /* 4.13, Size1 65536 */
    assert_null(b->peer.bodies);
    assert_int_equal(b->request_count, 0);
    bench_free(b);
}

static void size1_is_believed(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    bench_receive(b, "41020101 01 b164 4102 c108 d3 14 010001 ff 00112233445566778899aabbccddeeff");
    bench_expect_sent(b, "618d010101d10e08d314010000");
    assert_null(b->peer.bodies);
    bench_free(b);
}

static void bodies_side_by_side(void **state)
{
    char hex[128];
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    for (unsigned i = 0; i < 5; i++) { /* one more than are kept: the first is lost */
        snprintf(hex, sizeof(hex), "4102%04x01b164 41%02x c108 ff 00112233445566778899aabbccddee%02x", i, i,
                 i);
        bench_receive(b, hex);
        assert_int_equal(b->sent[b->sent_count - 1].data[1], COAP_231_CONTINUE);
    }
    assert_int_equal(b->metrics.overflow->value, 1);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(hex, sizeof(hex), "4102%04x01b164 41%02x c110 ff 0f", 16 + i, i);
        bench_receive(b, hex);
    }
    assert_int_equal(b->request_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(b->requests[i].body_len, 17);
        assert_int_equal(b->requests[i].body[15], i + 1);
    }
    bench_free(b);
}

static void request_tags_tell_bodies_apart(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "4102000101 b14c d10308 d1fc01 ff 00112233445566778899aabbccddee01");
    bench_receive(b, "4102000202 b14c d10308 d1fc02 ff 00112233445566778899aabbccddee02");
    bench_expect_sent(b, "615f000101");
    bench_expect_sent(b, "615f000202");
    bench_receive(b, "4102000303 b14c d10310 d1fc01 ff 21");
    assert_int_equal(b->request_count, 1);
    assert_int_equal(b->requests[0].body[15], 1);
    assert_int_equal(b->requests[0].body[16], 0x21);
    bench_free(b);
}

static void abandoned_body_is_let_go(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    receive_piece(b, &(struct piece){COAP_CON, 1, 1, 0, 6, true, 1024});
    bench_pass(b, COAP_DEDUP_MS);
    bench_expect_nothing_held(b);
    bench_free(b);
}

/* --- Block2 pulled --- */

static void send_block(struct bench *b, uint16_t mid, uint8_t token, uint8_t etag,
                       const struct coap_block *block, size_t payload_len)
{
    uint8_t data[COAP_MESSAGE_MAX], payload[1024];
    struct coap_builder builder;

    fill(payload, (size_t)block->num << (block->szx + 4), payload_len);
    coap_build(&builder, data, sizeof(data), COAP_CON, COAP_205_CONTENT, mid, &token, 1);
    coap_build_option_uint(&builder, COAP_OPT_ETAG, etag);
    coap_build_option_uint(&builder, COAP_OPT_BLOCK2, coap_block_encode(block));
    coap_build_payload(&builder, payload, payload_len);
    bench_receive_bytes(b, data, coap_build_finish(&builder));
}

static struct bench *pull(void)
{
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("d", NULL);

    r.query = (const uint8_t *)"\x02";
    r.query_len = 1;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4101100010b1644102");
    bench_receive(b, "60001000");
    return b;
}

static void owner_is_asked_before_a_block_is_kept(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    struct piece first = {COAP_CON, 1, 0x80, 0, 6, true, 1024};
    struct piece second = {COAP_CON, 2, 0x80, 1, 6, true, 1024};
    struct piece third = {COAP_CON, 3, 0x80, 1, 6, true, 1024};

    b->refuse_blocks = COAP_404_NOT_FOUND;
    receive_piece(b, &first);
    bench_expect_sent(b, "6184000180d10e0e");
    assert_null(b->peer.bodies);
    receive_piece(b, &first); /* sent again: the same answer */
    bench_expect_sent(b, "6184000180d10e0e");
    assert_int_equal(b->admits_count, 1);
    b->refuse_blocks = COAP_EMPTY;
    first.mid = 9;
    receive_piece(b, &first);
    bench_expect_sent(b, "615f000980d10e0e");
    b->refuse_blocks = COAP_403_FORBIDDEN; /* each is asked for */
    receive_piece(b, &second);
    bench_expect_sent(b, "6183000280d10e1e");
    b->refuse_blocks = COAP_EMPTY;
    receive_piece(b, &third);
    bench_expect_sent(b, "615f000380d10e1e");
    assert_int_equal(b->request_count, 0);
    bench_free(b);
}

static void all_bodies_together_are_bounded(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    struct piece first = {COAP_CON, 1, 0x80, 0, 6, true, 1024};
    struct piece second = {COAP_CON, 2, 0x80, 1, 6, true, 1024};
    struct piece third = {COAP_CON, 3, 0x80, 2, 6, true, 1024};

    receive_piece(b, &first);
    receive_piece(b, &second);
    assert_true(b->metrics.gathered->value >= 2048);
    uint64_t mine = b->metrics.gathered->value;
    b->metrics.gathered->value = COAP_GATHERED_MAX; /* other peers' */
    b->sent_read = b->sent_count;
    receive_piece(b, &third);
    bench_expect_sent(b, "61a3000380d10e2e"); /* 5.03 */
    assert_int_equal(b->metrics.overflow->value, 1);
    b->metrics.gathered->value = mine;
    third.mid = 4;
    receive_piece(b, &third); /* nothing is lost */
    bench_expect_sent(b, "615f000480d10e2e");
    expect_bodies_let_go(b);
    bench_free(b);

    b = bench_new(COAP_DEVICE_OS); /* it takes an error for an acknowledgement: no answer */
    b->metrics.gathered->value = COAP_GATHERED_MAX;
    receive_piece(b, &first);
    bench_expect_quiet(b);
    assert_null(b->peer.bodies);
    b->metrics.gathered->value = 0;
    receive_piece(b, &first); /* the same message again */
    bench_expect_sent(b, "615f000180");
    expect_bodies_let_go(b);
    bench_free(b);
}

static void describe_pulled_in_blocks(void **state)
{
    (void)state;
    struct bench *b = pull();
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024);
    bench_expect_sent(b, "60000021");
    bench_expect_sent(
        b, "4101100110b16441028116"); /* the same query, its size, a new ID: device-protocol Appendix C */
    bench_receive(b, "60001001");
    send_block(b, 0x22, 0x10, 1, &(struct coap_block){1, true, 6}, 1024);
    bench_expect_sent(b, "60000022");
    bench_expect_sent(b, "4101100210b16441028126");
    bench_receive(b, "60001002");
    assert_int_equal(b->done.count, 0);
    send_block(b, 0x23, 0x10, 1, &(struct coap_block){2, false, 6}, 100);
    bench_expect_sent(b, "60000023");
    bench_expect_quiet(b);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_RESPONDED);
    assert_int_equal(b->done.code, COAP_205_CONTENT);
    check_body(b->done.body, b->done.body_len, 2148);
    bench_free(b);
}

static void lost_blocks_are_asked_for_again(void **state)
{
    (void)state;
    struct bench *b = pull();
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024);
    bench_expect_sent(b, "60000021");
    bench_expect_sent(b, "4101100110b16441028116");
    bench_pass(b, 6000); /* our request was lost */
    bench_expect_sent(b, "4101100110b16441028116");
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024); /* our ACK was lost too */
    bench_expect_sent(b, "60000021");
    bench_expect_quiet(b);
    send_block(b, 0x24, 0x10, 1, &(struct coap_block){0, true, 6}, 1024); /* a block twice, under a new ID */
    bench_expect_sent(b, "60000024");
    bench_expect_quiet(b);
    send_block(b, 0x25, 0x10, 1, &(struct coap_block){1, false, 6}, 1);
    assert_int_equal(b->done.count, 1);
    check_body(b->done.body, b->done.body_len, 1025);
    bench_free(b);
}

static void body_that_changes_is_begun_anew(void **state)
{
    (void)state;
    struct bench *b = pull();
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024);
    b->sent_read = b->sent_count;
    send_block(b, 0x22, 0x10, 2, &(struct coap_block){1, true, 6}, 1024);
    bench_expect_sent(b, "60000022");
    bench_expect_sent(b, "4101100210b1644102"); /* from the start */
    send_block(b, 0x23, 0x10, 2, &(struct coap_block){0, true, 6}, 1024);
    bench_expect_sent(b, "60000023");
    bench_expect_sent(b, "4101100310b16441028116");
    send_block(b, 0x24, 0x10, 2, &(struct coap_block){1, false, 6}, 9);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.code, COAP_205_CONTENT);
    check_body(b->done.body, b->done.body_len, 1033);
    bench_free(b);
}

static void body_that_changes_without_end_is_given_up(void **state)
{
    (void)state;
    struct bench *b = pull();
    for (uint8_t etag = 1; etag < 20 && b->done.count == 0; etag++)
        send_block(b, (uint16_t)(0x20 + etag), 0x10, etag, &(struct coap_block){0, true, 6}, 1024);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.code, COAP_408_INCOMPLETE);
    bench_free(b);
}

static void blocks_that_make_no_sense(void **state)
{
    static const struct {
        struct coap_block block;
        size_t payload_len;
    } second[] = {
        {{2, true, 6}, 1024}, /* one left out */
        {{1, true, 6}, 1000}, /* not full */
        {{2, true, 5}, 512},  /* another size */
        {{0xfffff, true, 6}, 1024},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
        struct bench *b = pull();
        send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024);
        send_block(b, 0x22, 0x10, 1, &second[i].block, second[i].payload_len);
        assert_int_equal(b->done.count, 1);
        assert_int_equal(b->done.outcome, COAP_RESPONDED);
        assert_int_equal(b->done.code, COAP_408_INCOMPLETE);
        assert_int_equal(b->done.body_len, 0);
        bench_free(b);
    }
    struct bench *b = pull();
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){1, true, 6}, 1024); /* not the first */
    assert_int_equal(b->done.code, COAP_408_INCOMPLETE);
    bench_free(b);
}

static void endless_body_is_given_up(void **state)
{
    (void)state;
    struct bench *b = pull();
    for (uint32_t num = 0; b->done.count == 0; num++) {
        assert_true(num < TOO_MUCH / 1024);
        send_block(b, (uint16_t)(0x100 + num), 0x10, 1, &(struct coap_block){num, true, 6}, 1024);
    }
    assert_int_equal(b->done.code, COAP_413_TOO_LARGE);
    bench_free(b);
}

static void error_ends_a_pull(void **state)
{
    (void)state;
    struct bench *b = pull();
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024);
    bench_receive(b, "6184100110"); /* the device has let go of it */
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.code, COAP_404_NOT_FOUND);
    assert_int_equal(b->done.body_len, 0);
    bench_free(b);
}

static void no_room_for_the_block_option(void **state)
{
    uint8_t query[255];
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("f", "x");
    char name[900];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    memset(query, 'q', sizeof(query));
    r.path[1] = name;
    r.query = query;
    r.query_len = COAP_MESSAGE_MAX - 5 - 2 - 3 - 899 - 2;
    assert_true(r.query_len <= sizeof(query));
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    send_block(b, 0x21, 0x10, 1, &(struct coap_block){0, true, 6}, 1024);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.code, COAP_413_TOO_LARGE);
    bench_free(b);
}

/* --- Block2 served --- */

/* Pulls 3000 bytes in blocks of the client's size, answering each request with the whole body. */
static void check_serving(uint8_t szx, bool asks_at_first, uint8_t served_szx)
{
    uint8_t body[3000], got[sizeof(body)];
    size_t got_len = 0;
    struct bench *b = bench_new(COAP_RFC7252);
    struct coap_block block = {0, false, szx};

    fill(body, 0, sizeof(body));
    for (uint16_t mid = 1;; mid++) {
        uint8_t data[64];
        struct coap_builder builder;
        struct coap_option option;
        coap_build(&builder, data, sizeof(data), COAP_CON, COAP_GET, mid, (const uint8_t *)"tk", 2);
        coap_build_option(&builder, COAP_OPT_URI_PATH, "t", 1);
        if (mid > 1 || asks_at_first)
            coap_build_option_uint(&builder, COAP_OPT_BLOCK2, coap_block_encode(&block));
        bench_receive_bytes(b, data, coap_build_finish(&builder));
        coap_answer(&b->peer, b->requests[--b->request_count].in, COAP_205_CONTENT, 40, body, sizeof(body),
                    b->now_ms);
        free(b->requests[b->request_count].body);
        struct coap_message m = bench_sent_message(b);
        assert_int_equal(m.code, COAP_205_CONTENT);
        assert_true(coap_option_find(&m, COAP_OPT_BLOCK2, &option));
        assert_true(coap_block_decode(&option, &block));
        assert_int_equal(block.szx, served_szx);
        assert_int_equal((size_t)block.num << (block.szx + 4), got_len);
        assert_true(got_len + m.payload_len <= sizeof(got));
        memcpy(got + got_len, m.payload, m.payload_len);
        got_len += m.payload_len;
        if (!block.more)
            break;
        block.num++;
        block.more = false;
    }
    assert_int_equal(got_len, sizeof(body));
    assert_memory_equal(got, body, sizeof(body));
    bench_free(b);
}

static void large_answer_is_served_in_blocks(void **state)
{
    (void)state;
    check_serving(6, false, 6);
    check_serving(6, true, 6);
    check_serving(5, true, 5);
    check_serving(2, true, 2);
}

static void small_answer_to_a_block_request(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    bench_receive(b, "4101000155b174c106");
    bench_answer(b, 0, COAP_205_CONTENT, "hi", 2);
    bench_expect_sent(b, "6145000155d10a06ff6869");
    bench_receive(b, "4101000256b174c116"); /* beyond the end */
    bench_answer(b, 1, COAP_205_CONTENT, "hi", 2);
    bench_expect_sent(b, "6180000256");
    bench_receive(b, "4101000357b174c106");
    bench_answer(b, 2, COAP_404_NOT_FOUND, "no", 2);
    bench_expect_sent(b, "6184000357ff6e6f");
    bench_free(b);
}

static void peers_limit_is_kept(void **state)
{
    uint8_t body[COAP_MESSAGE_MAX * 2] = {0};
    (void)state;
    for (unsigned limit = 0; limit <= COAP_MESSAGE_MAX + 100; limit += 50) {
        struct bench *b = bench_new(limit % 100 == 0 ? COAP_DEVICE_OS : COAP_RFC7252);
        b->peer.max_message_bytes = (uint16_t)limit;
        size_t most = limit < 64 ? 64 : limit;
        bench_receive(b, "48010001 1122334455667788 b16c");
        coap_answer(&b->peer, b->requests[0].in, COAP_204_CHANGED, 42, body, sizeof(body), b->now_ms);
        assert_true(b->sent[0].data_len <= most);
        bench_receive(b, "48010002 1122334455667788 b16c c30fff16"); /* far off, in large blocks */
        bench_answer(b, 1, COAP_500_INTERNAL, body, sizeof(body));   /* a long diagnosis is cut */
        assert_true(b->sent[1].data_len <= most);
        bench_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describe_pushed_by_a_device),
        cmocka_unit_test(last_block_is_taken_again_after_forget),
        cmocka_unit_test(upload_by_an_rfc_client),
        cmocka_unit_test(single_block),
        cmocka_unit_test(blocks_out_of_order),
        cmocka_unit_test(first_block_begins_anew),
        cmocka_unit_test(blocks_of_the_wrong_size),
        cmocka_unit_test(body_too_large),
        cmocka_unit_test(size1_is_believed),
        cmocka_unit_test(bodies_side_by_side),
        cmocka_unit_test(request_tags_tell_bodies_apart),
        cmocka_unit_test(abandoned_body_is_let_go),
        cmocka_unit_test(owner_is_asked_before_a_block_is_kept),
        cmocka_unit_test(all_bodies_together_are_bounded),
        cmocka_unit_test(describe_pulled_in_blocks),
        cmocka_unit_test(lost_blocks_are_asked_for_again),
        cmocka_unit_test(body_that_changes_is_begun_anew),
        cmocka_unit_test(body_that_changes_without_end_is_given_up),
        cmocka_unit_test(blocks_that_make_no_sense),
        cmocka_unit_test(endless_body_is_given_up),
        cmocka_unit_test(error_ends_a_pull),
        cmocka_unit_test(no_room_for_the_block_option),
        cmocka_unit_test(large_answer_is_served_in_blocks),
        cmocka_unit_test(small_answer_to_a_block_request),
        cmocka_unit_test(peers_limit_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
