/* netlink messages as the plan has them. */
#ifndef TSD_NETLINK_H
#define TSD_NETLINK_H
#include "context.h"

/* Sends messages of a netlink protocol (NETLINK_ROUTE, NETLINK_NETFILTER) and checks the acknowledgements that they ask for. */
int netlink_run(struct context *context, int protocol, const struct field *messages);
/* The same on the host, where messages find the container's network namespace at NETWORK_NAMESPACE_FD. */
int netlink_host(struct context *context, const struct step *step);
#endif
