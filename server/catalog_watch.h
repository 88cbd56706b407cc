/*
 * catalog_watch.h - the thread that notices altered tables while the server runs, and gives the
 * stages what they are now; with them, a configuration that was read again (reload.h).
 *
 * Threads: main opens, starts, reloads, stops and closes; catalog_watch_ask() is anybody's.
 */
#ifndef SERVER_CATALOG_WATCH_H
#define SERVER_CATALOG_WATCH_H

#include "pipeline.h"
#include "streams.h"

struct catalog_watch;

/* Reads all tables over `store`, which is lent for the call; all of them must be usable. */
enum status catalog_watch_open(const struct settings *settings, struct store *store,
                               struct catalog_watch **out, struct problem *problem) must_use;
/* The set that the pipeline begins with. Before catalog_watch_start(). */
const struct stream_set *catalog_watch_streams(const struct catalog_watch *watch);
/* Borrows the pipeline and the node (whose `log` it keeps) until catalog_watch_stop(). `take_files`
 * reads and takes what is not in the configuration itself, keys and certificates: it is called by
 * our thread, for a reload that nothing else refuses any more, and may refuse it. */
enum status catalog_watch_start(struct catalog_watch *watch, struct pipeline *pipeline,
                                struct node *node,
                                enum status (*take_files)(void *owner, struct problem *problem),
                                void *owner, struct problem *problem) must_use;
/* Look soon: somebody has a reason to believe that a table was altered. Costs a fence. */
void catalog_watch_ask(struct catalog_watch *watch);
/* Takes settings that were just loaded (and their memory): the stages get what may change of them,
 * or the log says why not. Of two that come close together the last one counts. */
void catalog_watch_reload(struct catalog_watch *watch, struct settings *read);
/* Ends the thread; waits for a statement under way, which has a deadline. Harmless when it was not
 * started. */
void catalog_watch_stop(struct catalog_watch *watch);
/* Frees the sets: accepts NULL; after pipeline_destroy(). */
void catalog_watch_close(struct catalog_watch *watch);

#endif
