/* netlink messages as the plan has them, sent whole, with the acknowledgements that they ask for. */
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel.h"
#include "netlink.h"

/* Reads acknowledgements until `expected` came or one is an error, which is reported with its place among them: a batch that
 * is refused as a whole is answered once. */
static int netlink_acknowledged(struct context *context, int link, size_t expected) {
    char buffer[8192];
    size_t seen = 0;
    int error = 0;
    while (seen < expected && !error) {
        ssize_t size = recv(link, buffer, sizeof buffer, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return fail(context, "recv", "netlink");
        size_t left = (size_t)size;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) continue;
            const struct nlmsgerr *answer = NLMSG_DATA(header);
            error = -answer->error;
            if (error) break;
            seen++;
        }
    }
    if (!error) return 0;
    char name[32];
    snprintf(name, sizeof name, "message %zu", seen);
    errno = error;
    return fail(context, "netlink", name);
}

int netlink_run(struct context *context, int protocol, const struct field *messages) {
    size_t expected = 0, offset = 0;
    while (offset + sizeof(struct nlmsghdr) <= messages->length) {
        struct nlmsghdr header;
        memcpy(&header, messages->string + offset, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > messages->length - offset) break;
        expected += (header.nlmsg_flags & NLM_F_ACK) != 0;
        offset += NLMSG_ALIGN((size_t)header.nlmsg_len);
    }
    if (offset != messages->length || !expected) return errno = EINVAL, fail(context, "netlink", "malformed messages");
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (link < 0) return fail(context, "socket", "netlink");
    int result = send(link, messages->string, messages->length, 0) < 0 ? fail(context, "send", "netlink")
                                                                      : netlink_acknowledged(context, link, expected);
    close(link);
    return result;
}

int netlink_host(struct context *context, const struct step *step) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)context->child);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0) return fail(context, "open", path);
    int slot = dup3(namespace, NETWORK_NAMESPACE_FD, O_CLOEXEC);
    close(namespace);
    if (slot < 0) return fail(context, "dup3", path);
    int result = netlink_run(context, NETLINK_ROUTE, &step->fields[0]);
    close(slot);
    return result;
}

