/* commands.c: the table: each command with its arguments, options, help and an example. */
#include "handlers.h"

#define END {.name = NULL}
#define LIMIT_OPTION                                                                                         \
    {"limit", OPTION_NUMBER, "N", "at most so many rows; 0: all (1000)", .max = 100000000}
#define REASON_NEEDED {"reason", OPTION_TEXT, "TEXT", "why, for the audit trail", .needed = true}

const struct command_option command_globals[] = {
    {"url", OPTION_TEXT, "URL", "the server, in place of CYAN_URL and the login's"},
    {"token-file", OPTION_FILE, "FILE", "a file whose first line is the token, - for stdin; in place of CYAN_TOKEN"},
    {"ca-file", OPTION_FILE, "FILE", "PEM file of the authority of the server's certificate, in place of CYAN_CA_FILE"},
    {"timeout", OPTION_NUMBER, "S", "seconds to wait for an answer (30)", .min = 1, .max = 86400},
    {"json", OPTION_FLAG, NULL, "what the server says, for scripts"},
    {"quiet", OPTION_FLAG, NULL, "nothing but results and errors"},
    {"no-color", OPTION_FLAG, NULL, "no colours on a terminal (also: NO_COLOR)"},
    END,
};

static const struct command_option logout_options[] = {
    {"revoke", OPTION_FLAG, NULL, "end the token on the server as well, wherever else it is used"},
    END,
};

/* Which devices. */
static const struct command_option selector_options[] = {
    {"platform", OPTION_TEXT, "NAME", "devices of this platform, by name or number", .repeats = true},
    {"product", OPTION_NUMBER, "ID", "devices of this product", .max = 65535},
    {"name", OPTION_TEXT, "NAME*", "devices whose names are, or begin, like this", .repeats = true},
    {"device", OPTION_TEXT, "DEVICE", "this device, by name or id", .repeats = true},
    {"below", OPTION_TEXT, "MODULE:VERSION", "devices where a module is older: s1:3100, b0:1001", .repeats = true},
    {"requires-deep-update", OPTION_FLAG, NULL, "devices that need a deep update"},
    {"all", OPTION_FLAG, NULL, "every device there is"},
    END,
};

static const struct command_option device_list_options[] = {
    {"online", OPTION_FLAG, NULL, "only those that are connected"},
    {"offline", OPTION_FLAG, NULL, "only those that are not"},
    {"platform", OPTION_TEXT, "NAME", "only this platform, by name or number"},
    {"product", OPTION_NUMBER, "ID", "only this product", .max = 65535},
    {"name", OPTION_TEXT, "NAME*", "only names like this, or that begin so"},
    {"requires-deep-update", OPTION_FLAG, NULL, "only those that need a deep update"},
    {"quarantined", OPTION_FLAG, NULL, "only those in quarantine"},
    LIMIT_OPTION,
    END,
};
static const struct command_option flash_options[] = {
    {"wait", OPTION_FLAG, NULL, "until the device is back and has told what it runs"},
    {"patience", OPTION_DURATION, "TIME", "with --wait: for so long (15m)"},
    END,
};

static const char *const firmware_states[] = {"active", "withdrawn", NULL};
static const char *const letters[] = {"b", "s", "u", "m", "c", "a", "r", NULL};
static const struct command_option firmware_list_options[] = {
    {"platform", OPTION_TEXT, "NAME", "only for this platform, by name or number"},
    {"function", OPTION_CHOICE, "LETTER", "only modules of this kind", .choices = letters},
    {"status", OPTION_CHOICE, "STATUS", "only these", .choices = firmware_states},
    LIMIT_OPTION,
    END,
};
static const struct command_option reason_needed[] = {REASON_NEEDED, END};
static const struct command_option download_options[] = {
    {"output", OPTION_FILE, "FILE", "where to (firmware-ID.bin)"},
    {"force", OPTION_FLAG, NULL, "replace a file that is there"},
    END,
};

static const struct command_option limit_only[] = {LIMIT_OPTION, END};
static const struct command_option release_create_options[] = {
    {"target", OPTION_TEXT, "ID", "a firmware that must end up on devices of its platform", .repeats = true,
     .needed = true},
    {"stepping-stone", OPTION_TEXT, "ID", "a firmware that may be used on the way", .repeats = true},
    {"notes", OPTION_TEXT, "TEXT", "for people"},
    END,
};

static const char *const rule_kinds[] = {"requires",    "forbids",    "must_pass_through",
                                         "unreachable", "collateral", "deep_update_needed",
                                         NULL};
static const struct command_option rule_options[] = {
    {"code", OPTION_TEXT, "CODE", "its name"},
    {"kind", OPTION_CHOICE, "KIND", "what it says", .choices = rule_kinds},
    {"platform", OPTION_TEXT, "NAME", "of devices of this platform alone, by name or number"},
    {"body", OPTION_FILE, "FILE", "JSON of its condition, - for stdin"},
    {"explain", OPTION_TEXT, "TEXT", "the sentence for people"},
    {"evidence", OPTION_TEXT, "TEXT", "why this is believed"},
    END,
};
static const struct command_option rule_set_options[] = {
    {"enable", OPTION_FLAG, NULL, "put it in force"},
    {"disable", OPTION_FLAG, NULL, "leave it away"},
    {"body", OPTION_FILE, "FILE", "JSON of its condition, - for stdin"},
    {"explain", OPTION_TEXT, "TEXT", "the sentence for people"},
    {"evidence", OPTION_TEXT, "TEXT", "why this is believed"},
    {"platform", OPTION_TEXT, "NAME", "of devices of this platform alone, by name or number"},
    {"rev", OPTION_NUMBER, "N", "only when it is still at this rev", .max = 2147483647},
    END,
};
static const struct command_option rule_test_options[] = {
    {"file", OPTION_FILE, "FILE", "JSON of the rule as it would be, - for stdin; else as it is"},
    END,
};
static const struct command_option what_if_options[] = {
    {"rules", OPTION_FILE, "FILE", "JSON list of rules to try in place of those in force, - for stdin"},
    END,
};

static const char *const campaign_states[] = {"draft",   "planned",  "awaiting_approval", "approved",  "running",
                                              "paused",  "aborting", "aborted",           "completed", "archived",
                                              NULL};
static const char *const modes[] = {"soft", "forced", "consent", NULL};
static const struct command_option campaign_list_options[] = {
    {"state", OPTION_CHOICE, "STATE", "only these", .choices = campaign_states},
    LIMIT_OPTION,
    END,
};
static const struct command_option campaign_create_options[] = {
    {"release", OPTION_TEXT, "NAME", "what the devices are to run (needed without --file)"},
    {"stage", OPTION_TEXT, "NAME:SIZE,...",
     "canary:5%,soak=2h,fail=5%,min=5,coverage=90%,lost=1,small-canary; sizes count from the first device on "
     "(canary:5%,soak=1h early:25%,soak=1h all:100%)",
     .repeats = true},
    {"transfers", OPTION_NUMBER, "N", "devices that are sent firmware at once", .min = 1, .max = 1000000},
    {"disruption", OPTION_NUMBER, "N", "devices that reboot or are lost at once", .min = 1, .max = 1000000},
    {"rate", OPTION_NUMBER, "N", "devices that start in a minute", .min = 1, .max = 1000000},
    {"verify", OPTION_DURATION, "TIME", "how long a device must stay well"},
    {"window", OPTION_TEXT, "FROM-TO[@ZONE][,DAY...]", "when: 22:00-06:00@Europe/Berlin,mon,tue"},
    {"mode", OPTION_CHOICE, "MODE", "how devices are asked (soft)", .choices = modes},
    {"dynamic", OPTION_FLAG, NULL, "devices that come to fit later join"},
    {"file", OPTION_FILE, "FILE", "all of it as JSON, - for stdin, in place of the options"},
    END,
};
static const struct command_option move_options[] = {
    {"reason", OPTION_TEXT, "TEXT", "why, for the audit trail"},
    {"rev", OPTION_NUMBER, "N", "only when it is still at this rev", .max = 2147483647},
    END,
};
static const struct command_option retry_options[] = {
    {"for", OPTION_TEXT, "REASON", "devices that failed for this reason", .repeats = true, .needed = true},
    END,
};
static const struct command_option widen_options[] = {
    {"percent", OPTION_NUMBER, "N", "to this share of the devices", .min = 1, .max = 100},
    {"devices", OPTION_NUMBER, "N", "to so many devices", .min = 1, .max = 10000000},
    END,
};
static const char *const update_states[] = {"pending",   "waiting", "active", "verifying", "succeeded", "already_current",
                                            "blocked",   "failed",  "lost",   "cancelled", "superseded", "excluded",
                                            NULL};
static const struct command_option campaign_devices_options[] = {
    {"state", OPTION_CHOICE, "STATE", "only these", .choices = update_states},
    {"reason", OPTION_TEXT, "REASON", "only those for this reason"},
    LIMIT_OPTION,
    END,
};
static const char *const formats[] = {"csv", "jsonl", NULL};
static const struct command_option export_options[] = {
    {"format", OPTION_CHOICE, "FORMAT", "(csv)", .choices = formats},
    {"output", OPTION_FILE, "FILE", "where to (stdout)"},
    END,
};
static const struct command_option watch_options[] = {
    {"every", OPTION_DURATION, "TIME", "how often to look (1s)"},
    {"patience", OPTION_DURATION, "TIME", "how long the server may be away (10m)"},
    END,
};

#define MOVE(word, text)                                                                                     \
    {                                                                                                        \
        .words = "campaign " word, .arguments = "CAMPAIGN", .help = text,                                   \
        .example = "campaign " word " winter --reason 'as planned'", .run = campaign_move_run,               \
        .options = {move_options}                                                                            \
    }

const struct command commands[] = {
    {"login", NULL, "[URL]", "Keep the address of a server and a token", "login http://127.0.0.1:8080", login_run,
     .local = true},
    {"logout", NULL, "", "Forget them", "logout", logout_run, {logout_options}, .local = true},
    {"whoami", NULL, "", "Say which server this is and who one is there", "whoami", whoami_run},

    {"device list", NULL, "", "List devices", "device list --requires-deep-update", device_list_run,
     {device_list_options}},
    {"device show", NULL, "DEVICE", "Show a device and what it runs", "device show kitchen", device_show_run},
    {"device history", NULL, "DEVICE", "Show how what it runs changed", "device history kitchen", device_history_run},
    {"device updates", NULL, "DEVICE", "Show its updates and what became of them", "device updates kitchen",
     device_updates_run},
    {"device explain", NULL, "DEVICE RELEASE", "Say how it gets to a release, or why not",
     "device explain kitchen 2026.11", explain_run},
    {"device flash", "device update", "DEVICE FILE", "Send one firmware to one device",
     "device flash kitchen app.bin --wait", flash_run, {flash_options}},

    {"firmware list", NULL, "", "List firmware", "firmware list --platform argon --function c", firmware_list_run,
     {firmware_list_options}},
    {"firmware show", NULL, "ID", "Show one firmware", "firmware show 12", firmware_show_run},
    {"firmware inspect", NULL, "FILE...", "Say what is in files, without a server", "firmware inspect argon-ncp.bin",
     inspect_run, .local = true},
    {"firmware upload", NULL, "FILE...", "Bring firmware to the server", "firmware upload argon-*.bin",
     firmware_upload_run},
    {"firmware withdraw", NULL, "ID", "Send it to no device any more", "firmware withdraw 12 --reason 'bricks rev B'",
     firmware_withdraw_run, {reason_needed}},
    {"firmware download", NULL, "ID", "Get the file back", "firmware download 12 --output ncp.bin",
     firmware_download_run, {download_options}},

    {"release list", NULL, "", "List releases", "release list", release_list_run, {limit_only}},
    {"release show", NULL, "RELEASE", "Show what is in one", "release show 2026.11", release_show_run},
    {"release create", NULL, "NAME", "Draft one", "release create 2026.11 --target 12 --stepping-stone 9",
     release_create_run, {release_create_options}},
    {"release publish", NULL, "RELEASE", "Make it final", "release publish 2026.11", release_publish_run},
    {"release withdraw", NULL, "RELEASE", "Let nobody use it any more",
     "release withdraw 2026.11 --reason 'wrong bootloader'", release_withdraw_run, {reason_needed}},

    {"rule list", NULL, "", "List the rules that say what headers do not", "rule list", rule_list_run},
    {"rule add", NULL, "[FILE]", "Add one, from JSON, from options, or both",
     "rule add ncp.json --explain 'The NCP comes first'", rule_add_run, {rule_options}},
    {"rule set", NULL, "RULE", "Change one", "rule set argon-ncp-old --disable", rule_set_run, {rule_set_options}},
    {"rule test", NULL, "RULE", "Say which devices it would touch; changes nothing", "rule test argon-ncp-old",
     rule_test_run, {rule_test_options}},

    {"what-if", NULL, "RELEASE", "Say what a release would mean for devices; changes nothing",
     "what-if 2026.11 --platform argon", what_if_run, {what_if_options, selector_options}},

    {"campaign list", NULL, "", "List campaigns", "campaign list --state running", campaign_list_run,
     {campaign_list_options}},
    {"campaign show", NULL, "CAMPAIGN", "Show one with its plan and stages", "campaign show winter",
     campaign_show_run},
    {"campaign create", NULL, "NAME", "Draft one",
     "campaign create winter --release 2026.11 --platform argon --stage canary:5%,soak=2h --stage all:100%",
     campaign_create_run, {campaign_create_options, selector_options}},
    MOVE("plan", "Freeze what it would do, and show it"),
    MOVE("submit", "Ask for approval"),
    MOVE("approve", "Approve what was planned"),
    MOVE("start", "Begin"),
    MOVE("pause", "Start nothing more; transfers stop and keep their place"),
    MOVE("resume", "Go on"),
    MOVE("abort", "End it; what cannot be stopped runs to its end"),
    MOVE("archive", "Put one that has ended out of sight"),
    {"campaign watch", NULL, "CAMPAIGN", "Stay with it until it ends", "campaign watch winter", campaign_watch_run,
     {watch_options}},
    {"campaign devices", NULL, "CAMPAIGN", "List its devices and what became of them",
     "campaign devices winter --state blocked", campaign_devices_run, {campaign_devices_options}},
    {"campaign export", NULL, "CAMPAIGN", "Write all of them as CSV or JSON lines",
     "campaign export winter --output winter.csv", campaign_export_run, {export_options}},
    {"campaign retry", NULL, "CAMPAIGN", "Try devices again that failed for a reason",
     "campaign retry winter --for no_effect", campaign_retry_run, {retry_options, move_options}},
    {"campaign exclude", NULL, "CAMPAIGN DEVICE...", "Leave devices out of it", "campaign exclude winter kitchen",
     campaign_exclude_run, {move_options}},
    {"campaign stage resume", NULL, "CAMPAIGN STAGE", "Go on with a stage that is held",
     "campaign stage resume winter canary --reason 'looked at it'", campaign_stage_run, {move_options}},
    {"campaign stage skip", NULL, "CAMPAIGN STAGE", "Go on to the next without its gate",
     "campaign stage skip winter canary --reason 'urgent'", campaign_stage_run, {move_options}},
    {"campaign stage widen", NULL, "CAMPAIGN STAGE", "Take more devices into it",
     "campaign stage widen winter canary --percent 10", campaign_stage_run, {widen_options, move_options}},

    {"completion", NULL, "SHELL", "Print what lets bash, zsh or fish complete commands",
     "completion bash > ~/.local/share/bash-completion/completions/cyanctl", completion_run, .local = true},
    {"version", NULL, "", "Say which cyanctl this is", "version", version_run, .local = true},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
