/* firmware inspect: what is inside files of firmware, without a server. */
#include "handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "grid.h"
#include "module/module_file.h"
#include "names.h"
#include "text.h"

#define HASH_BYTES 32
#define HASH_TEXT_SIZE (2 * HASH_BYTES + 1)

/* The whole file; NULL: it has been said why. The caller frees. */
static uint8_t *read_file(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *data = NULL;
    size_t done = 0;

    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)cli_fail(CLI_USAGE, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)MODULE_FILE_MAX_BYTES) {
        (void)cli_fail(CLI_USAGE, "%s is no firmware: %s", path,
                       S_ISREG(st.st_mode) ? "it is too large" : "it is not a file");
    } else {
        data = mem_alloc((size_t)st.st_size + 1);
        while (done < (size_t)st.st_size) {
            ssize_t n = read(fd, data + done, (size_t)st.st_size - done);
            if (n <= 0)
                break;
            done += (size_t)n;
        }
    }
    if (fd >= 0)
        (void)close(fd);
    *len = done;
    return data;
}

static const struct {
    unsigned flag;
    const char *name;
} flags[] = {{MODULE_FLAG_DROP_HEADER, "drop_header"},
             {MODULE_FLAG_COMPRESSED, "compressed"},
             {MODULE_FLAG_COMBINED, "combined"},
             {MODULE_FLAG_ENCRYPTED, "encrypted"},
             {MODULE_FLAG_PREFIX_EXTENSIONS, "prefix_extensions"}};

static json_t *flags_json(unsigned value)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if ((value & flags[i].flag) != 0)
            (void)json_array_append_new(list, json_string(flags[i].name));
    }
    return list;
}

static json_t *dependencies_json(const struct module_part *part)
{
    json_t *list = json_array();

    for (size_t i = 0; i < part->dependency_count; i++) {
        const struct module_dependency *d = &part->dependencies[i];
        char letter[2] = {module_function_letter(d->function), '\0'};
        (void)json_array_append_new(
            list, json_pack("{sssisi}", "f", letter, "n", (int)d->index, "v", (int)d->version));
    }
    return list;
}

/* The names of fields are those of the server's firmware. */
static json_t *part_json(const struct module_part *part)
{
    const char *platform = module_platform_name(part->platform_id);
    char letter[2] = {module_function_letter(part->function), '\0'}, hash[HASH_TEXT_SIZE];
    json_t *object = json_object();

    hex_encode(hash, part->suffix_sha256, HASH_BYTES);
    (void)json_object_set_new(object, "platform_id", json_integer(part->platform_id));
    (void)json_object_set_new(object, "platform", platform != NULL ? json_string(platform) : json_null());
    (void)json_object_set_new(object, "function", json_string(letter));
    (void)json_object_set_new(object, "function_name", json_string(module_function_name(part->function)));
    (void)json_object_set_new(object, "index", json_integer(part->index));
    (void)json_object_set_new(object, "mcu", json_integer(part->mcu));
    (void)json_object_set_new(object, "version", json_integer(part->version));
    (void)json_object_set_new(object, "size_bytes", json_integer((json_int_t)part->len));
    (void)json_object_set_new(object, "inflated_bytes",
                              part->inflated_bytes > 0 ? json_integer(part->inflated_bytes) : json_null());
    (void)json_object_set_new(object, "start_address", json_integer(part->start_address));
    (void)json_object_set_new(object, "end_address", json_integer(part->end_address));
    (void)json_object_set_new(object, "suffix_sha256", part->has_header ? json_string(hash) : json_null());
    (void)json_object_set_new(object, "crc32", json_integer(part->crc32));
    (void)json_object_set_new(object, "flags", flags_json(part->flags));
    (void)json_object_set_new(object, "dependencies", dependencies_json(part));
    (void)json_object_set_new(object, "product_id",
                              part->has_product ? json_integer(part->product_id) : json_null());
    (void)json_object_set_new(object, "product_version",
                              part->has_product ? json_integer(part->product_version) : json_null());
    return object;
}

static json_t *file_json(const char *path, const struct module_file *file, size_t len)
{
    char hash[HASH_TEXT_SIZE];
    json_t *parts = json_array(), *name = json_string(path);

    hex_encode(hash, file->sha256, HASH_BYTES);
    for (size_t i = 0; i < file->part_count; i++)
        (void)json_array_append_new(parts, part_json(&file->parts[i]));
    return json_pack("{sosIssso}", "file", name != NULL ? name : json_null(), "size_bytes", (json_int_t)len,
                     "sha256", hash, "parts", parts);
}

static void add_needs(struct grid *grid, const struct module_part *part)
{
    char name[NAMES_SIZE];

    for (size_t i = 0; i < part->dependency_count; i++) {
        const struct module_dependency *d = &part->dependencies[i];
        char letter[2] = {module_function_letter(d->function), '\0'};
        names_module(name, letter, d->index);
        grid_add(grid, i == 0 ? "needs" : "  and");
        grid_addf(grid, "%s %u or later", name, d->version);
    }
}

static void add_size(struct grid *grid, const struct module_part *part)
{
    char size[TEXT_SIZE], inflated[TEXT_SIZE];

    text_bytes(size, part->len);
    text_bytes(inflated, part->inflated_bytes);
    grid_add(grid, "size");
    if (part->inflated_bytes > 0)
        grid_addf(grid, "%zu bytes (%s), %s when inflated", part->len, size, inflated);
    else
        grid_addf(grid, "%zu bytes (%s)", part->len, size);
}

static void add_flags(struct grid *grid, const struct module_part *part)
{
    bool any = false;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if ((part->flags & flags[i].flag) == 0)
            continue;
        grid_add(grid, any ? "" : "flags");
        grid_add(grid, flags[i].name);
        any = true;
    }
}

static void add_part(struct grid *grid, const struct module_part *part)
{
    char platform[NAMES_SIZE], hash[HASH_TEXT_SIZE];
    char letter[2] = {module_function_letter(part->function), '\0'}, name[NAMES_SIZE];

    names_platform(platform, part->platform_id);
    names_module(name, letter, part->index);
    grid_add(grid, "platform");
    grid_addf(grid, "%s (%u)", platform, part->platform_id);
    grid_add(grid, "module");
    grid_add(grid, name);
    grid_add(grid, "index");
    grid_addf(grid, "%u", part->index);
    grid_add(grid, "version");
    if (part->has_header)
        grid_addf(grid, "%u", part->version);
    else
        grid_add(grid, "none: a binary of before modules");
    if (part->dependency_count == 0) {
        grid_add(grid, "needs");
        grid_add(grid, "nothing");
    }
    add_needs(grid, part);
    if (part->has_product) {
        grid_add(grid, "product");
        grid_addf(grid, "%u, version %u", part->product_id, part->product_version);
    }
    add_size(grid, part);
    add_flags(grid, part);
    if (part->has_header) {
        grid_add(grid, "addresses");
        grid_addf(grid, "0x%08x to 0x%08x", part->start_address, part->end_address);
        hex_encode(hash, part->suffix_sha256, HASH_BYTES);
        grid_add(grid, "its SHA-256");
        grid_add(grid, hash);
        grid_add(grid, "CRC-32");
        grid_addf(grid, "%08x, right", part->crc32);
    }
}

static void print_file(const struct cli *cli, const char *path, const struct module_file *file)
{
    static const struct grid_column columns[] = {{0}, {0}};
    struct grid *grid = grid_new(columns, 2);
    char hash[HASH_TEXT_SIZE];

    hex_encode(hash, file->sha256, HASH_BYTES);
    grid_add(grid, "file");
    grid_add(grid, path);
    for (size_t i = 0; i < file->part_count; i++) {
        if (file->part_count > 1) {
            grid_add(grid, "part");
            grid_addf(grid, "%zu of %zu", i + 1, file->part_count);
        }
        add_part(grid, &file->parts[i]);
    }
    grid_add(grid, "file SHA-256");
    grid_add(grid, hash);
    grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

static enum cli_exit inspect(const struct cli *cli, const char *path, json_t *list)
{
    struct module_file file;
    char why[MODULE_WHY_SIZE];
    size_t len;
    uint8_t *data = read_file(path, &len);
    enum cli_exit code = CLI_OK;

    if (data == NULL)
        return CLI_USAGE;
    if (!module_file_parse(&file, data, len, why))
        code = cli_fail(CLI_REFUSED, "%s: %s", path, why);
    else if (cli->json)
        (void)json_array_append_new(list, file_json(path, &file, len));
    else
        print_file(cli, path, &file);
    free(data);
    return code;
}

enum cli_exit inspect_run(struct cli *cli)
{
    json_t *list = json_array();
    enum cli_exit result = CLI_OK;

    for (size_t i = 0; i < cli->call->argument_count; i++) {
        if (i > 0 && !cli->json)
            (void)fputc('\n', stdout);
        enum cli_exit code = inspect(cli, cli->call->arguments[i], list);
        result = code != CLI_OK ? code : result;
    }
    (void)cli_print_json(cli, list);
    json_decref(list);
    return result;
}
