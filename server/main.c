/* main.c: reads the command line and goes where it says. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "node.h"

static bool asks_for(int argc, char **argv, const char *flag)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct config_flag flags[FLAG_COUNT + 1] = {
        [FLAG_EXPORT] = {.name = "export"},
        [FLAG_ADDRESS] = {.name = "address"},
        [FLAG_KEY] = {.name = "key"},
        [FLAG_PSK] = {.name = "psk"},
        [FLAG_NAME] = {.name = "name"},
        [FLAG_ROLE] = {.name = "role"},
        [FLAG_USER] = {.name = "user"},
        [FLAG_EXPIRES_IN] = {.name = "expires-in"},
        [FLAG_JSON] = {.name = "json", .is_switch = true},
    };
    struct config config;
    char why[CONFIG_ERROR_SIZE];
    if (asks_for(argc, argv, "--help")) {
        command_print_help(stdout);
        printf("\nSettings, as flags, as CYAN_SECTION_NAME in the environment, or in " CONFIG_DEFAULT_FILE
               ":\n");
        config_print_help(stdout);
        return 0;
    }
    if (asks_for(argc, argv, "--version")) {
        printf("cyand " CYAN_VERSION "\n");
        return 0;
    }
    if (!config_load(&config, &argc, argv, flags, why)) {
        (void)fprintf(stderr, "cyand: %s\n", why);
        return 2;
    }
    int code;
    if (argc == 1 || (argc == 2 && strcmp(argv[1], "run") == 0)) {
        code = 0;
        for (int f = 0; f < FLAG_COUNT; f++)
            if (flags[f].value) {
                (void)fprintf(stderr, "cyand: run does not take --%s\n", flags[f].name);
                code = 2;
            }
        if (code == 0)
            code = node_run(&config);
    } else
        code = command_run(&config, argc - 1, argv + 1, flags);
    config_free(&config);
    return code;
}
