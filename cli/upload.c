#include "upload.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module/module_file.h"
#include "rest.h"
#include "text.h"

enum cli_exit upload_file(const struct cli *cli, const char *method, const char *path, const char *file,
                          json_t **json, bool *made)
{
    return upload_form(cli, method, path, file, NULL, json, made);
}

enum cli_exit upload_form(const struct cli *cli, const char *method, const char *path, const char *file,
                          const json_t *fields, json_t **json, bool *made)
{
    char size[TEXT_SIZE], most[TEXT_SIZE];
    struct stat st;

    if (stat(file, &st) != 0 || access(file, R_OK) != 0)
        return cli_fail(CLI_USAGE, "%s: %s", file, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cli_fail(CLI_USAGE, "%s is not a file", file);
    if (st.st_size == 0)
        return cli_fail(CLI_USAGE, "%s is empty", file);
    if ((uint64_t)st.st_size > MODULE_FILE_MAX_BYTES) {
        text_bytes(size, (uint64_t)st.st_size);
        text_bytes(most, MODULE_FILE_MAX_BYTES);
        return cli_fail(CLI_USAGE, "%s has %s; no module has more than %s", file, size, most);
    }
    return cli_ask_made(
        cli, &(struct rest_request){.method = method, .path = path, .file = file, .fields = fields}, json,
        made);
}
