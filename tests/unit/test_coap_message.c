/* The codec: the messages of real devices byte for byte both ways, and what is not a message. */
#include "test_coap.h"

/* device-protocol 3, 4 and its appendices A and C; the trace of Device OS 6.2.0. "..." of the documents left
 * out. */
static const char *const vectors[] = {
    "40001234",
    "60001234",
    "4000000b",
    "6000000b",
    "40020001b168ff000d000300f6000d000ce00fce68ffffffff000000011838048000177000 0200",
    "40020001b168ff0003ffff00360003000c0123456789abcdef012345671838048000a000000200",
    "60000001",
    "40020110b178ff030546",
    "40020110b178ff0506901c",
    "50020110b178d0eaff0102",
    "4002000bb178ff0102",
    "410110070bb1644102",
    "60001007",
    "4145000d0bff7b7d",
    "410200022cb164112a3101ff0a19080218e8072880808005351e0000003d1e00000058848080050a20080318b830288080800535"
    "1e0000003d1e"
    "0000004a05080218e8075884808005",
    "4002000cb1644101ff7b7d",
    "410200062eb1644102ff7b2266223a5b22736574436f756e746572222c227075626c697368222c227265736574225d2c2276223a"
    "7b22636f756e"
    "746572223a322c2274656d70223a392c22666c6167223a312c2274657874223a342c2263616c63223a347d7d",
    "4102000680b1644102c10eff00",
    "4102000b81b1644102c116ff00",
    "4102100409b1660c6469676974616c777269746547 44372c48494748",
    "4102100409b16602676f40",
    "4102100181b1660a736574436f756e746572423432",
    "4144000b81ff0000002a",
    "410110050ab1760474656d70",
    "4101100484b17607636f756e746572",
    "4145000d84ff00000007",
    "4184001289",
    "4101100a8ab1644102",
    "40020102b1450d0a737061726b2f6465766963652f6c6173745f7265736574ff75736572",
    "40020103b1450474656d70113c22012cffa0",
    "40020004b1450d127061727469636c652f6465766963652f757064617465732f656e61626c6564ff74727565",
    "40020005b1450d117061727469636c652f6465766963652f757064617465732f666f72636564ff66616c7365",
    "4002000bb14509766465762f7469636bff31",
    "4002100fb165047664657603636d64ff6869207468657265",
    "40010007b165087061727469636c65",
    "40010008b16505737061726b",
    "40010009b16508766465762f636d64",
    "4001000ab16504616c6c2f",
    "4101010655b174",
    "6145010655ff6553f100",
    "410100032db174",
    "614500032dff6b0161e3",
    "410310090db1734101",
    "614410090d",
    "410310138eb1734101",
    "614410138e",
    "4003100ab16b4101",
    "4103100101b16b4101",
    "4000100e",
    "6000100e",
    "4102000b98b14cff0801120d0a0b746573742d6c6564676572",
    "410210100eb175ff01020000 0186a00000000000",
    "414402010eff01",
    "510210110fb16344cbf43926020003ff00",
    "4103101210b175",
    "40010202b163ff00030009",
    "50025a44b168ff0003ffff0036000300001838048000a000000200",
    "5002435bb168",
    "40010104b16505737061726b",
    "40010105b1650474656d704175",
    "40021006b145087061727469636c6506646576696365077570646174657306666f72636564ff74727565",
    "410110080cb164410181 16",
    "4102000220b164112a3101c10eff00",
    "410203 0130b14cff00",
};

/* Decodes, builds again from what was decoded, and compares. */
static void check_round_trip(const char *hex)
{
    uint8_t data[COAP_MESSAGE_MAX], again[COAP_MESSAGE_MAX];
    size_t data_len = bench_bytes(data, sizeof(data), hex);
    struct coap_message m;
    struct coap_builder b;
    struct coap_option_iter it;
    struct coap_option option;

    assert_int_equal(coap_message_decode(&m, data, data_len), COAP_DECODED);
    coap_build(&b, again, sizeof(again), m.type, m.code, m.mid, m.token, m.token_len);
    coap_options_begin(&it, &m);
    while (coap_options_next(&it, &option))
        coap_build_option(&b, option.number, option.value, option.value_len);
    coap_build_payload(&b, m.payload, m.payload_len);
    assert_int_equal(coap_build_finish(&b), data_len);
    assert_memory_equal(again, data, data_len);
}

static void device_messages_go_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        check_round_trip(vectors[i]);
}

static struct coap_message decode(const char *hex, enum coap_decode expected)
{
    static uint8_t data[COAP_MESSAGE_MAX];
    struct coap_message m;

    assert_int_equal(coap_message_decode(&m, data, bench_bytes(data, sizeof(data), hex)), expected);
    return m;
}

static void fields_of_a_pushed_describe(void **state)
{
    (void)state;
    struct coap_message m = decode("410200022cb164112a3101c10eff0a19", COAP_DECODED);
    struct coap_option option;
    struct coap_block block;
    uint32_t value;

    assert_int_equal(m.type, COAP_CON);
    assert_int_equal(m.code, COAP_POST);
    assert_int_equal(m.mid, 2);
    assert_int_equal(m.token_len, 1);
    assert_int_equal(m.token[0], 0x2c);
    assert_true(coap_option_find(&m, COAP_OPT_CONTENT_FORMAT, &option));
    assert_true(coap_option_uint(&option, &value));
    assert_int_equal(value, 42);
    assert_true(coap_option_find(&m, COAP_OPT_URI_QUERY, &option));
    assert_int_equal(option.value_len, 1);
    assert_int_equal(option.value[0], 1);
    assert_true(coap_option_find(&m, COAP_OPT_BLOCK1, &option));
    assert_true(coap_block_decode(&option, &block));
    assert_int_equal(block.num, 0);
    assert_true(block.more);
    assert_int_equal(block.szx, 6);
    assert_int_equal(m.payload_len, 2);
    assert_false(coap_option_find(&m, COAP_OPT_ETAG, &option));
}

static void four_byte_uint_with_leading_zero(void **state)
{
    (void)state;
    struct coap_message m =
        decode("40020103b1453400010000", COAP_DECODED); /* Max-Age 65536 as Device OS 6.2 sends it */
    struct coap_option option;
    uint32_t value;

    assert_true(coap_option_find(&m, COAP_OPT_MAX_AGE, &option));
    assert_true(coap_option_uint(&option, &value));
    assert_int_equal(value, 65536);

    m = decode("40020103b145350000010000", COAP_DECODED);
    assert_true(coap_option_find(&m, COAP_OPT_MAX_AGE, &option));
    assert_false(coap_option_uint(&option, &value));
}

static void path_is_joined(void **state)
{
    (void)state;
    struct coap_message m = decode("4002100fb165047664657603636d64ff6869", COAP_DECODED);
    char path[16];

    assert_true(coap_options_join(&m, COAP_OPT_URI_PATH, '/', path, sizeof(path)));
    assert_string_equal(path, "e/vdev/cmd");
    assert_true(coap_options_join(&m, COAP_OPT_URI_PATH, '/', path, 11));
    assert_false(coap_options_join(&m, COAP_OPT_URI_PATH, '/', path, 10));
    assert_true(coap_options_join(&m, COAP_OPT_URI_QUERY, '&', path, 1));
    assert_string_equal(path, "");

    m = decode("40020001b165026100", COAP_DECODED); /* a NUL inside */
    assert_false(coap_options_join(&m, COAP_OPT_URI_PATH, '/', path, sizeof(path)));
}

static void not_messages(void **state)
{
    static const char *const too_short[] = {"", "40", "400100", "00010001", "80010001", "c0010001"};
    static const char *const bad[] = {
        "49010001000000000000000000", /* token length 9 */
        "4f010001",
        "44010001aabbcc", /* token cut off */
        "4000000100",     /* empty with something after it */
        "4100000155",     /* empty with a token */
        "40200001",       /* reserved classes */
        "40c00001",
        "40e10001",
        "40010001b2", /* value cut off */
        "40010001bd", /* extended length cut off */
        "40010001d0", /* extended delta cut off */
        "40010001e000",
        "40010001be00",
        "40010001f0",               /* reserved delta 15 */
        "40010001bf",               /* reserved length 15 */
        "40010001e0feff00",         /* number above 65535: 65548 */
        "40010001e0fef200e0fef200", /* twice 65535 */
        "40010001e0ffff",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(too_short) / sizeof(too_short[0]); i++)
        decode(too_short[i], COAP_DECODE_SHORT);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct coap_message m = decode(bad[i], COAP_DECODE_BAD);
        assert_int_equal(m.mid, 1);
    }
    decode("40010001e0fef2", COAP_DECODED); /* 65535 itself */
}

static void too_many_options(void **state)
{
    uint8_t data[4 + COAP_OPTIONS_MAX + 1] = {0x40, 0x01, 0x00, 0x01, 0xb0};
    struct coap_message m;

    (void)state;
    assert_int_equal(coap_message_decode(&m, data, 4 + COAP_OPTIONS_MAX), COAP_DECODED);
    assert_int_equal(coap_message_decode(&m, data, sizeof(data)), COAP_DECODE_BAD);
}

static void lone_marker_is_told_apart(void **state)
{
    (void)state;
    struct coap_message m = decode("40020001b165ff", COAP_DECODED);
    assert_non_null(m.payload);
    assert_int_equal(m.payload_len, 0);
    m = decode("40020001b165", COAP_DECODED);
    assert_null(m.payload);
}

static void unknown_critical_options(void **state)
{
    static const struct {
        const char *hex;
        uint16_t number;
    } cases[] = {
        {"40010001b174", 0},     /* Uri-Path */
        {"400100013161b174", 0}, /* Uri-Host a */
        {"4001000110", 1},       /* If-Match */
        {"4001000150", 5},       /* If-None-Match */
        {"40010001d10001", 13},
        {"40010001d3040102 03", 17},  /* Accept of three bytes */
        {"40010001d1041000", 17},     /* Accept twice */
        {"40010001d11661", 35},       /* Proxy-Uri */
        {"4001000141aa", 0},          /* ETag: elective */
        {"40010001d40a00000010", 23}, /* Block2 of four bytes */
        {"4001000130", 3},            /* empty Uri-Host */
    };
    uint16_t number;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct coap_message m = decode(cases[i].hex, COAP_DECODED);
        uint16_t expected = cases[i].number;
        assert_int_equal(coap_has_unknown_critical(&m, &number), expected != 0);
        if (expected != 0)
            assert_int_equal(number, expected);
    }
}

static void builder_refuses(void **state)
{
    uint8_t out[8];
    struct coap_builder b;

    (void)state;
    coap_build(&b, out, 3, COAP_CON, COAP_GET, 1, NULL, 0);
    assert_int_equal(coap_build_finish(&b), 0);

    coap_build(&b, out, sizeof(out), COAP_CON, COAP_GET, 1, NULL, 0);
    coap_build_option(&b, COAP_OPT_URI_QUERY, "a", 1);
    coap_build_option(&b, COAP_OPT_URI_PATH, "b", 1); /* out of order */
    assert_int_equal(coap_build_finish(&b), 0);

    coap_build(&b, out, sizeof(out), COAP_CON, COAP_GET, 1, NULL, 0);
    coap_build_option(&b, COAP_OPT_URI_PATH, "abcd", 4); /* one byte too many */
    assert_int_equal(coap_build_finish(&b), 0);

    coap_build(&b, out, sizeof(out), COAP_CON, COAP_GET, 1, NULL, 0);
    coap_build_option(&b, COAP_OPT_URI_PATH, "abc", 3); /* exactly full */
    assert_int_equal(coap_build_finish(&b), 8);
    coap_build_payload(&b, "", 0);
    assert_int_equal(coap_build_finish(&b), 8);
    coap_build_payload(&b, "x", 1);
    assert_int_equal(coap_build_finish(&b), 0);
}

static void block_values(void **state)
{
    static const struct {
        uint8_t value[4];
        size_t value_len;
        struct coap_block block;
        bool good;
    } cases[] = {
        {{0}, 0, {0, false, 0}, true},
        {{0x0e}, 1, {0, true, 6}, true},
        {{0x16}, 1, {1, false, 6}, true},
        {{0x12, 0x3d}, 2, {0x123, true, 5}, true},
        {{0xff, 0xff, 0xfe}, 3, {0xfffff, true, 6}, true},
        {{0x07}, 1, {0}, false},
        {{0, 0, 0, 0x06}, 4, {0}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct coap_option option = {COAP_OPT_BLOCK2, cases[i].value, cases[i].value_len};
        struct coap_block block;
        assert_int_equal(coap_block_decode(&option, &block), cases[i].good);
        if (!cases[i].good)
            continue;
        assert_int_equal(block.num, cases[i].block.num);
        assert_int_equal(block.more, cases[i].block.more);
        assert_int_equal(block.szx, cases[i].block.szx);
        uint32_t value = 0;
        for (size_t n = 0; n < cases[i].value_len; n++)
            value = value << 8 | cases[i].value[n];
        assert_int_equal(coap_block_encode(&block), value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_messages_go_both_ways),
        cmocka_unit_test(fields_of_a_pushed_describe),
        cmocka_unit_test(four_byte_uint_with_leading_zero),
        cmocka_unit_test(path_is_joined),
        cmocka_unit_test(not_messages),
        cmocka_unit_test(too_many_options),
        cmocka_unit_test(lone_marker_is_told_apart),
        cmocka_unit_test(unknown_critical_options),
        cmocka_unit_test(builder_refuses),
        cmocka_unit_test(block_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
