/* handlers.h: what the rows of the table of commands (commands.c) run; one file a subject. */
#ifndef CYAN_CLI_HANDLERS_H
#define CYAN_CLI_HANDLERS_H

#include "cli.h"

command_run login_run, logout_run, whoami_run;
command_run device_list_run, device_show_run, device_history_run, device_updates_run, device_cancel_run;
command_run explain_run, flash_run;
command_run firmware_list_run, firmware_show_run, firmware_upload_run, firmware_withdraw_run,
    firmware_download_run, inspect_run;
command_run product_list_run, product_show_run, product_firmware_list_run, product_firmware_upload_run,
    product_firmware_release_run;
command_run release_list_run, release_show_run, release_create_run, release_publish_run, release_withdraw_run;
command_run rule_list_run, rule_add_run, rule_set_run, rule_test_run;
command_run what_if_run;
command_run campaign_list_run, campaign_show_run, campaign_create_run, campaign_move_run, campaign_retry_run,
    campaign_exclude_run, campaign_stage_run, campaign_devices_run, campaign_export_run, campaign_watch_run;
command_run completion_run, version_run;

#endif
