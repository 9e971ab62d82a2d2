/* vitals_tree.h: vitals as clients read them: the numbered values of a device put in their places, in their
 * units (rest-api 4, device-protocol Appendix B). Pure. */
#ifndef CYAN_FLEET_VITALS_TREE_H
#define CYAN_FLEET_VITALS_TREE_H

#include <jansson.h>
#include <stddef.h>

/* vitals: {"<id>": number or {"err": code}}; service: what the server adds. {"device": {..}, "service":
 * {..}}. A value of no known id is at device.other.<id>. */
json_t *vitals_tree(const json_t *vitals, const json_t *service);

/* The places there are, `device.system.uptime`; NULL beyond the last. id: 0 for those of the server. units:
 * NULL when there are none. */
const char *vitals_tree_place(size_t index, unsigned *id, const char **units);
/* What is at a place of a tree; NULL: nothing. */
const json_t *vitals_tree_find(const json_t *tree, const char *place);

#endif
