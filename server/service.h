/*
 * service.h - tells a service manager how the server is: the protocol of sd_notify(3), which is a
 * datagram of KEY=value lines to the socket that NOTIFY_SOCKET names. Without that variable nothing
 * happens, so that everybody may call it.
 *
 * Any thread may call it; nobody changes the environment any more.
 */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "penstock/bytes.h"
#include "penstock/status.h"

/* "READY=1\nSTATUS=…": lines of one message. What cannot be delivered is logged at debug: the
 * manager's trouble is not ours. */
void service_notify(const char *format, ...) printf_like(1, 2);
/* The three that a start, a reload and a stop are made of. */
void service_is_ready(const char *sentence);
void service_is_reloading(void);
void service_is_stopping(void);

#endif
