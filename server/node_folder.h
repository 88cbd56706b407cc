/*
 * node_folder.h - the data folder of one node: its lock, its name.
 *
 * The name stands in every batch that the node commits, and with the lane it names the checkpoint;
 * so it is drawn once, kept beside the journal, and moves with it.
 */
#ifndef SERVER_NODE_FOLDER_H
#define SERVER_NODE_FOLDER_H

#include "penstock/node.h"

struct node_folder {
    int lock_fd; /* owns; the lock is held while it is open */
};

/* Makes the folder when it is missing, locks it (BAD_CONFIG when another process has it), and reads
 * or draws the name. `wanted`: the configured name, "" for any; another than the kept one is
 * refused. */
enum status node_folder_open(struct node_folder *folder, const char *path, const char *wanted,
                             char out_name[NODE_NAME_BYTES_MAX + 1],
                             struct problem *problem) must_use;
void node_folder_close(struct node_folder *folder);
/* How many lanes have a journal here: the highest number and one; 0: none. */
unsigned node_folder_lanes(const char *path);

#endif
