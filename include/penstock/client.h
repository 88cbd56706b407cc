/*
 * client.h - the command line's two clients of a server: `penstock send` and `penstock tail`.
 *
 * They are a client like any other: WebSocket, protocol penstock.v1, nothing from the server's
 * side.
 *
 * Thread: main. Each call runs its own loop until it is done.
 */
#ifndef PENSTOCK_CLIENT_H
#define PENSTOCK_CLIENT_H

/* What both return, as the process's exit code. */
enum client_exit {
    CLIENT_DONE = 0,   /* everything acknowledged; --count events printed */
    CLIENT_FAILED = 1, /* an event was refused, the server stayed away, a file could not be read */
    CLIENT_USAGE = 2,  /* wrong arguments, or a state file of another run */
    CLIENT_INTERRUPTED = 130 /* SIGINT or SIGTERM; `send` has saved where it was */
};

/*
 * send STREAM [FILE]: publishes NDJSON, a line an event, and remembers in a state file what was
 * acknowledged, so that an interrupted run goes on exactly where it was, whoever was killed.
 * tail CHANNEL: prints the channel's events as they commit, a line each.
 * `argv` begins behind the command's name; both know --help.
 */
int client_send_command(int argc, char **argv);
int client_tail_command(int argc, char **argv);

#endif
