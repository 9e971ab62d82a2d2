/* lost_nodes.h: what a node that died left online in Postgres is marked offline, by every node that notices.
 *
 *   node: KNOWN GOOD --fleet_node_lost--> WAITING --its turn--> MARKING --last slice--> forgotten
 *                                         MARKING --Postgres away--> MARKING, a second later
 *                                         MARKING --it lives again--> KNOWN GOOD: it marked them itself at
 * its start
 *
 * One node at a time, in slices. Doing it twice is doing it once. */
#ifndef CYAN_FLEET_LOST_NODES_H
#define CYAN_FLEET_LOST_NODES_H

struct fleet;
struct lost_nodes;
struct lost_nodes *lost_nodes_new(struct fleet *f);
void lost_nodes_free(struct lost_nodes *l);
void lost_nodes_stop(struct lost_nodes *l);

#endif
