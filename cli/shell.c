/* completion, version: what needs no server at all. */
#include "completion.h"
#include "handlers.h"

enum cli_exit completion_run(struct cli *cli)
{
    if (completion_print(call_argument(cli->call, 0), stdout))
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%.20s: completion is there for bash, zsh and fish",
                    call_argument(cli->call, 0));
}

enum cli_exit version_run(struct cli *cli)
{
    json_t *version = json_pack("{ss}", "version", CYAN_VERSION);

    if (!cli_print_json(cli, version))
        (void)printf("cyanctl %s\n", CYAN_VERSION);
    json_decref(version);
    return CLI_OK;
}
