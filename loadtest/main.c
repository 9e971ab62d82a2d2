/* main.c: cyan-swarm's commands. */
#include "swarm_bench.h"
#include "swarm_hold.h"
#include "swarm_keys.h"
#include "swarm_run.h"

int main(int argc, char **argv)
{
    struct swarm_options options;

    switch (swarm_options_parse(&options, argc, argv)) {
    case SWARM_PARSE_HELP:
        return 0;
    case SWARM_PARSE_BAD:
        return 2;
    case SWARM_PARSE_OK:
        break;
    }
    switch (options.command) {
    case SWARM_COMMAND_RUN:
        return swarm_run(&options);
    case SWARM_COMMAND_LIST:
        return swarm_keys_list(&options);
    case SWARM_COMMAND_KEYS:
        return swarm_keys_make(&options);
    case SWARM_COMMAND_HOLD:
        return swarm_hold(&options);
    case SWARM_COMMAND_BENCH:
        return swarm_bench_run(&options);
    }
    return 2;
}
