/* The protocol between the daemon, the launcher and the monitors. Little-endian; versioned, because monitors outlive
 * the daemon that started them.
 *
 * Request to the launcher (one sendmsg): struct launch_request, and by SCM_RIGHTS the plan (a memfd), the control
 * connection, and one descriptor for each client attached from the start.
 * On monitor.sock: struct greeting; as control it is answered by frames, as attach by the raw streams (Docker's
 * multiplexed format without a terminal, plain bytes with one), its other direction being the container's stdin; as
 * names it brings, by SCM_RIGHTS, the two sockets of a name server, which are kept in place of those there are, or
 * none, which lets go of them; nothing is answered.
 * Frames both ways: u32 length of what follows, u8 type, payload. */
#ifndef TSD_PROTOCOL_H
#define TSD_PROTOCOL_H
#include <stdint.h>

#define PROTOCOL_VERSION 1
#define LAUNCH_MAGIC 0x4c445354u   /* "TSDL" */
#define GREETING_MAGIC 0x4d445354u /* "TSDM" */
#define LAUNCH_MAX_CLIENTS 8

enum { ATTACH_STDIN = 1, ATTACH_STDOUT = 2, ATTACH_STDERR = 4 };
enum { GREETING_CONTROL = 1, GREETING_ATTACH = 2, GREETING_NAMES = 3 };

struct launch_request {
    uint32_t magic;
    uint32_t clients;
    uint8_t flags[LAUNCH_MAX_CLIENTS];
};

struct greeting {
    uint32_t magic;
    uint8_t version, kind, flags, reserved;
};

/* From the monitor. STARTED and HELLO: u32 version, i32 pid, u64 start (ns since the epoch), i32 the
 * monitor's own pid (missing from monitors of before names were served). EXITED: i32 status as
 * waitpid gives it, u64 end. FAILED: u32 step, u32 errno, then call and path, each with its NUL.
 * OUT_OF_MEMORY: u32 how often that has happened, u32 1 if it has just happened, 0 after a HELLO. */
enum { FRAME_STARTED = 1, FRAME_HELLO = 2, FRAME_EXITED = 3, FRAME_FAILED = 4, FRAME_OUT_OF_MEMORY = 5 };
#define LIFE_BYTES 20
/* To the monitor. SIGNAL: u32 signal. RESIZE: u16 columns, u16 rows. */
enum { FRAME_SIGNAL = 16, FRAME_RESIZE = 17 };
#define FRAME_MAX 1024
#endif
