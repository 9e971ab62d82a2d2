/* The server's key: made once, kept private, exported as devices are flashed with it (device-protocol 1.4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "handshake/server_key.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/cyan-test-key-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[128];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/server_key.pem", dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/server_key.der", dir);
    (void)unlink(path);
    return rmdir(dir);
}

static void test_key_is_private_and_never_replaced(void **state)
{
    (void)state;
    char why[256], path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/server_key.pem", dir);
    assert_int_equal(server_key_make(dir, why, sizeof why), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(server_key_make(dir, why, sizeof why), -1);
    assert_non_null(strstr(why, "never replaced"));
    assert_int_equal(chmod(path, 0640), 0);
    assert_null(server_key_load(dir, why, sizeof why));
    assert_non_null(strstr(why, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);
    struct server_key *key = server_key_load(dir, why, sizeof why);
    assert_non_null(key);
    FILE *public = fopen((snprintf(path, sizeof path, "%s/server_key.der", dir), path), "rb");
    uint8_t der[128];
    assert_non_null(public);
    assert_int_equal(fread(der, 1, sizeof der, public), SERVER_KEY_SPKI_BYTES);
    (void)fclose(public);
    assert_memory_equal(der, server_key_spki(key), SERVER_KEY_SPKI_BYTES);
    server_key_free(key);
}

static void test_export_is_padded_and_holds_the_address(void **state)
{
    (void)state;
    char why[256];
    uint8_t blob[SERVER_KEY_BLOB_BYTES];
    static const uint8_t v4[] = {0, 4, 127, 0, 0, 1},
                         name[] = {1, 12, 'c', 'y', 'a', 'n', '.', 'e', 'x', 'a', 'm'};
    assert_int_equal(server_key_make(dir, why, sizeof why), 0);
    struct server_key *key = server_key_load(dir, why, sizeof why);
    assert_true(server_key_export(key, "127.0.0.1", 5684, blob));
    assert_memory_equal(blob, server_key_spki(key), SERVER_KEY_SPKI_BYTES);
    assert_int_equal(blob[SERVER_KEY_SPKI_BYTES], 0xff);
    assert_memory_equal(blob + 192, v4, sizeof v4);
    assert_int_equal(be16_load(blob + 258), 0x1634);
    assert_true(server_key_export(key, "cyan.example", 5683, blob));
    assert_memory_equal(blob + 192, name, sizeof name);
    assert_true(server_key_export(key, "$id.udp.cyan.example", 5683, blob));
    assert_false(server_key_export(key, "0.0.0.0", 5684, blob));
    assert_false(server_key_export(key, "255.255.255.255", 5684, blob));
    assert_false(server_key_export(key, "", 5684, blob));
    assert_false(server_key_export(key, "a b", 5684, blob));
    char long_name[80];
    memset(long_name, 'a', sizeof long_name);
    long_name[64] = '\0';
    assert_false(server_key_export(key, long_name, 5684, blob));
    server_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_key_is_private_and_never_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_export_is_padded_and_holds_the_address, setup, teardown),
    };
    return cmocka_run_group_tests_name("server_key", tests, NULL, NULL);
}
