/* handlers.h: the resources of the REST interface, one file each. See routes.c for their paths. */
#ifndef CYAN_API_HANDLERS_H
#define CYAN_API_HANDLERS_H

struct http_request;

void devices_list(struct http_request *r); /* devices.c */
void devices_of_product_list(struct http_request *r);

void device_actions_order(struct http_request *r); /* device_actions.c */
void device_actions_read(struct http_request *r);
void device_actions_end(struct http_request *r);

void device_read(struct http_request *r); /* device.c */
void device_claim(struct http_request *r);
void device_unclaim(struct http_request *r);
void device_update(struct http_request *r);

void device_flash(struct http_request *r); /* device_updates.c; device_update calls it for a file */
void updates_list(struct http_request *r);
void updates_cancel(struct http_request *r);

void modules_read(struct http_request *r);        /* modules.c */
void provisioning_create(struct http_request *r); /* provisioning.c */
void ping_device(struct http_request *r);         /* ping.c */
void function_call(struct http_request *r);       /* function.c */
void variable_read(struct http_request *r);       /* variable.c */
void vitals_update(struct http_request *r);       /* vitals.c */
void vitals_last(struct http_request *r);
void vitals_history(struct http_request *r);
void vitals_metadata(struct http_request *r);
void vitals_summary(struct http_request *r);
void events_publish(struct http_request *r); /* events.c */
void events_stream(struct http_request *r);  /* event_streams.c */
void events_stream_without_prefix(struct http_request *r);
void nodes_read(struct http_request *r); /* nodes.c */

void campaigns_list(struct http_request *r); /* campaigns.c */
void campaigns_create(struct http_request *r);
void campaigns_read(struct http_request *r);
void campaigns_progress(struct http_request *r);

void campaign_plan_order(struct http_request *r); /* campaign_orders.c */
void campaign_submit(struct http_request *r);
void campaign_approve(struct http_request *r);
void campaign_start(struct http_request *r);
void campaign_pause(struct http_request *r);
void campaign_resume(struct http_request *r);
void campaign_abort(struct http_request *r);
void campaign_archive(struct http_request *r);
void campaign_stage_resume(struct http_request *r);
void campaign_stage_skip(struct http_request *r);
void campaign_stage_widen(struct http_request *r);
void campaign_retry_order(struct http_request *r);
void campaign_exclude_order(struct http_request *r);

void campaign_devices_list(struct http_request *r); /* campaign_devices.c */
void campaign_events_read(struct http_request *r);
void campaign_export_read(struct http_request *r);
void firmware_upload(struct http_request *r); /* firmware.c */
void firmware_list(struct http_request *r);
void firmware_read(struct http_request *r);
void firmware_download(struct http_request *r);
void firmware_withdraw(struct http_request *r);
/* The header of an answer that is a file. */
void firmware_name_download(struct http_request *r, const char *file_name);

void product_firmware_list(struct http_request *r); /* product_firmware.c */
void product_firmware_upload(struct http_request *r);
void product_firmware_read(struct http_request *r);
void product_firmware_edit(struct http_request *r);
void product_firmware_delete(struct http_request *r);
void product_firmware_download(struct http_request *r);
void product_firmware_release(struct http_request *r); /* product_release.c */
void product_impact_read(struct http_request *r);

void releases_list(struct http_request *r); /* releases.c */
void release_create(struct http_request *r);
void release_read(struct http_request *r);
void release_edit(struct http_request *r);
void release_publish(struct http_request *r);
void release_withdraw(struct http_request *r);
void update_plan_read(struct http_request *r); /* update_plan.c */
void what_if_ask(struct http_request *r);      /* what_if.c */

void products_list(struct http_request *r); /* products.c */
void product_create(struct http_request *r);
void product_read(struct http_request *r);
void product_edit(struct http_request *r);
void product_delete(struct http_request *r);

void product_devices_import(struct http_request *r); /* product_devices.c */
void product_devices_change(struct http_request *r);

void product_device_update(struct http_request *r); /* product_device.c */
void product_device_remove(struct http_request *r);

void product_groups_list(struct http_request *r); /* product_groups.c */
void product_group_create(struct http_request *r);
void product_group_read(struct http_request *r);
void product_group_edit(struct http_request *r);
void product_group_delete(struct http_request *r);

void rules_list(struct http_request *r); /* rules.c */
void rules_create(struct http_request *r);
void rules_change(struct http_request *r);
void rules_test(struct http_request *r);

void claims_create(struct http_request *r);      /* claims.c */
void serial_number_read(struct http_request *r); /* serial_numbers.c */
void echo_read(struct http_request *r);          /* echo.c */
void compile_refuse(struct http_request *r);     /* not_offered.c */
void libraries_refuse(struct http_request *r);

void transfers_list(struct http_request *r); /* transfers.c */
void transfers_decide(struct http_request *r);
void transfers_withdraw(struct http_request *r);

void device_os_list(struct http_request *r); /* device_os.c */
void device_os_read(struct http_request *r);
void build_targets_list(struct http_request *r);
void webhooks_list(struct http_request *r); /* webhooks.c */
void webhook_create(struct http_request *r);
void webhook_read(struct http_request *r);
void webhook_update(struct http_request *r);
void webhook_delete(struct http_request *r);
void webhook_test(struct http_request *r);
void webhook_enable(struct http_request *r);
void webhook_disable(struct http_request *r);

void tokens_list(struct http_request *r); /* tokens.c */
void tokens_read_current(struct http_request *r);
void tokens_revoke_current(struct http_request *r);
void tokens_revoke_all(struct http_request *r);
void tokens_revoke(struct http_request *r);

void oauth_token(struct http_request *r); /* oauth.c */

void users_create(struct http_request *r); /* users.c */
void user_read(struct http_request *r);
void user_change(struct http_request *r);
void user_identify(struct http_request *r);
void orgs_list(struct http_request *r);

void oauth_clients_list(struct http_request *r); /* oauth_clients.c */
void oauth_clients_create(struct http_request *r);
void oauth_clients_delete(struct http_request *r);

void team_list(struct http_request *r); /* team.c */
void team_add(struct http_request *r);
void team_remove(struct http_request *r);

void audit_read(struct http_request *r); /* audit.c */

void health_read(struct http_request *r);  /* health.c */
void metrics_read(struct http_request *r); /* metrics.c */
void openapi_read(struct http_request *r); /* openapi.c */

#endif
