/* firmware list, show, upload, withdraw, download. */
#include "handlers.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "field.h"
#include "grid.h"
#include "interrupt.h"
#include "module_row.h"
#include "page.h"
#include "query.h"
#include "rest.h"
#include "text.h"
#include "upload.h"

#define LIMIT 1000
#define PER_PAGE 100

static void add_row(void *arg, const json_t *firmware)
{
    struct grid *grid = arg;
    const char *status = field_text_or(firmware, "status", "?");
    char name[NAMES_SIZE], platform[NAMES_SIZE], size[TEXT_SIZE];
    json_t *release;
    size_t i;

    module_row_name(name, firmware);
    names_platform(platform, (long)field_integer(firmware, "platform_id"));
    text_bytes(size, field_count(firmware, "size_bytes"));
    grid_addf(grid, "%lld", (long long)field_integer(firmware, "id"));
    grid_add(grid, field_text_or(firmware, "platform", platform));
    grid_add(grid, name);
    grid_addf(grid, "%lld", (long long)field_integer(firmware, "version"));
    grid_add(grid, size);
    grid_add_styled(grid, status, terminal_state_style(status));
    char *releases = mem_string("");
    json_array_foreach (json_object_get(firmware, "releases"), i, release) {
        const char *title = json_string_value(release);
        char *longer = mem_printf("%s%s%s", releases, i > 0 ? ", " : "", title != NULL ? title : "?");
        free(releases);
        releases = longer;
    }
    grid_add(grid, releases);
    free(releases);
    grid_add(grid, field_text(firmware, "file_name"));
}

enum cli_exit firmware_list_run(struct cli *cli)
{
    static const struct grid_column columns[] = {
        {.title = "ID", .right = true},         {.title = "PLATFORM", .shrinks = true},
        {.title = "MODULE", .shrinks = true},   {.title = "VERSION", .right = true},
        {.title = "SIZE", .right = true},       {.title = "STATUS"},
        {.title = "RELEASES", .shrinks = true}, {.title = "FILE", .shrinks = true}};
    const char *platform = call_text(cli->call, "platform");
    uint64_t limit = call_number(cli->call, "limit", LIMIT);
    struct grid *grid;
    struct query q;
    uint16_t id;
    char number[8];
    enum cli_exit code;

    if (platform != NULL && !names_parse_platform(&id, platform))
        return cli_fail(CLI_USAGE, "--platform %s: no platform has this name; its number does as well",
                        platform);
    (void)snprintf(number, sizeof(number), "%u", platform != NULL ? id : 0u);
    query_init(&q, "/v1/firmware");
    query_add(&q, "platform_id", platform != NULL ? number : NULL);
    query_add(&q, "function", call_text(cli->call, "function"));
    query_add(&q, "status", call_text(cli->call, "status"));
    grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    code = page_each(
        cli, &(struct page_list){.path = q.path, .key = "firmware", .limit = limit, .per_page = PER_PAGE},
        add_row, grid);
    query_deinit(&q);
    if (code == CLI_OK && !cli->json && grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    else if (code == CLI_OK)
        cli_say(cli, "There is no firmware; cyanctl firmware upload FILE brings some.");
    if (code == CLI_OK && limit > 0 && grid_rows(grid) == limit)
        cli_note(cli, "These are the first %llu; --limit 0 shows all.", (unsigned long long)limit);
    grid_free(grid);
    return code;
}

static void add_pair(struct grid *grid, const char *name, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    grid_add(grid, name);
    grid_add(grid, value);
}

static void print_firmware(const struct cli *cli, const json_t *f)
{
    static const struct grid_column columns[] = {{0}, {0}};
    struct grid *grid = grid_new(columns, 2);
    char name[NAMES_SIZE], size[TEXT_SIZE], when[TEXT_SIZE];
    char *needs = module_row_list(json_object_get(f, "dependencies"));
    char *combined = module_row_list(json_object_get(f, "combined"));

    module_row_name(name, f);
    text_bytes(size, field_count(f, "size_bytes"));
    text_time(when, field_text(f, "uploaded_at"));
    grid_add(grid, "id");
    grid_addf(grid, "%lld", (long long)field_integer(f, "id"));
    add_pair(grid, "platform", field_text(f, "platform"));
    add_pair(grid, "module", name);
    grid_add(grid, "version");
    grid_addf(grid, "%lld", (long long)field_integer(f, "version"));
    add_pair(grid, "needs", needs);
    add_pair(grid, "also in it", combined);
    if (field_has_number(f, "product_id")) {
        grid_add(grid, "product");
        grid_addf(grid, "%lld, version %lld", (long long)field_integer(f, "product_id"),
                  (long long)field_integer(f, "product_version"));
    }
    add_pair(grid, "size", size);
    add_pair(grid, "file", field_text(f, "file_name"));
    add_pair(grid, "SHA-256", field_text(f, "sha256"));
    add_pair(grid, "status", field_text(f, "status"));
    add_pair(grid, "withdrawn", field_text(f, "withdrawn_reason"));
    add_pair(grid, "uploaded", when);
    add_pair(grid, "by", field_text(f, "uploaded_by"));
    grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
    free(needs);
    free(combined);
}

enum cli_exit firmware_show_run(struct cli *cli)
{
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/firmware/%s", call_argument(cli->call, 0));

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        print_firmware(cli, json_object_get(answer, "firmware"));
    json_decref(answer);
    return code;
}

enum cli_exit firmware_upload_run(struct cli *cli)
{
    enum cli_exit result = CLI_OK;

    for (size_t i = 0; i < cli->call->argument_count && !interrupt_seen(); i++) {
        const char *file = cli->call->arguments[i];
        json_t *answer = NULL;
        bool made;
        enum cli_exit code = upload_file(cli, "POST", "/v1/firmware", file, &answer, &made);
        char name[NAMES_SIZE];
        if (code == CLI_OK && !cli_print_json(cli, answer)) {
            const json_t *f = json_object_get(answer, "firmware");
            module_row_name(name, f);
            cli_say(cli, "%s: firmware %lld, %s %s %lld%s", file, (long long)field_integer(f, "id"),
                    field_text_or(f, "platform", "?"), name, (long long)field_integer(f, "version"),
                    made ? "" : ", which was there already");
        } else if (code != CLI_OK && cli->call->argument_count > 1) {
            cli_note(cli, "%s was not uploaded.", file);
        }
        json_decref(answer);
        if (code == CLI_AWAY || code == CLI_NOT_LOGGED_IN || code == CLI_INTERRUPTED)
            return code; /* the next one would fare no better */
        result = code != CLI_OK ? code : result;
    }
    return result;
}

enum cli_exit firmware_withdraw_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0);
    json_t *answer;
    enum cli_exit code = cli_send(cli, "POST", json_pack("{ss}", "reason", call_text(cli->call, "reason")),
                                  &answer, "/v1/firmware/%s/withdraw", which);

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        cli_say(cli, "Firmware %s is withdrawn: no device is sent it any more.", which);
    json_decref(answer);
    return code;
}

/* False: what was written is not what the server has. */
static bool is_whole(FILE *file, const char *sha256)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char hash[EVP_MAX_MD_SIZE], block[16384];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    unsigned hash_len = 0;
    size_t n;

    must(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
    rewind(file);
    while ((n = fread(block, 1, sizeof(block), file)) > 0)
        must(EVP_DigestUpdate(md, block, n) == 1);
    must(EVP_DigestFinal_ex(md, hash, &hash_len) == 1);
    EVP_MD_CTX_free(md);
    hex_encode(text, hash, hash_len);
    return ferror(file) == 0 && strcmp(text, sha256) == 0;
}

/* Into a file beside the wanted one, which takes its place when all of it is there and right. */
static enum cli_exit download(struct cli *cli, const char *which, const char *to, const char *sha256)
{
    char *fresh = mem_printf("%s.XXXXXX", to), *path = rest_path("/v1/firmware/%s/binary", which);
    int fd = mkstemp(fresh);
    FILE *file = fd >= 0 ? fdopen(fd, "w+") : NULL;
    enum cli_exit code;
    json_t *none = NULL;

    if (file == NULL) {
        code = cli_fail(CLI_USAGE, "%s cannot be written: %s", to, strerror(errno));
    } else {
        code = cli_ask(
            cli, &(struct rest_request){.path = path, .accept = "application/octet-stream", .into = file},
            &none);
        if (code == CLI_OK && fflush(file) != 0)
            code = cli_fail(CLI_REFUSED, "%s cannot be written: %s", to, strerror(errno));
        if (code == CLI_OK && !is_whole(file, sha256))
            code = cli_fail(CLI_REFUSED, "what came is not what the server has under firmware %s: try again",
                            which);
        (void)fclose(file);
        if (code == CLI_OK && rename(fresh, to) != 0)
            code = cli_fail(CLI_USAGE, "%s cannot be written: %s", to, strerror(errno));
        if (code != CLI_OK)
            (void)unlink(fresh);
    }
    json_decref(none);
    free(path);
    free(fresh);
    return code;
}

enum cli_exit firmware_download_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0), *output = call_text(cli->call, "output");
    char *to = output != NULL ? mem_string(output) : mem_printf("firmware-%.20s.bin", which);
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/firmware/%s", which);

    if (code == CLI_OK) {
        const json_t *f = json_object_get(answer, "firmware");
        const char *sha256 = field_text_or(f, "sha256", "");
        char id[24];
        (void)snprintf(id, sizeof(id), "%lld", (long long)field_integer(f, "id"));
        if (access(to, F_OK) == 0 && !call_has(cli->call, "force"))
            code = cli_fail(CLI_USAGE,
                            "%s is there already; --force replaces it, --output FILE names another", to);
        else
            code = download(cli, id, to, sha256);
        if (code == CLI_OK && !cli_print_json(cli, answer))
            cli_say(cli, "%s", to);
        json_decref(answer);
    }
    free(to);
    return code;
}
