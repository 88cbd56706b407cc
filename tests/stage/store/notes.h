/*
 * notes.h - a committer, the table "Note", and batches of notes: what the tests of refused rows
 * have in common.
 */
#ifndef PENSTOCK_TEST_NOTES_H
#define PENSTOCK_TEST_NOTES_H

#include "rig.h"

extern struct schema note;
extern struct builder builder;
extern struct rig *rig;

/* Makes the database anew, and `note` and `builder`; the committer is the test's to open. */
void notes_begin(void);
/* The same, with a committer that is ready. */
int notes_setup(void **state);
int notes_teardown(void **state);

/* Commits notes `first` … as frame `sequence`. */
struct batch *commit_notes(uint64_t sequence, uint64_t first, size_t count);

/* What must hold after every batch, whatever went wrong: each event has one outcome, ranks and
 * offsets have no gap, the log agrees, and each row is where its outcome says. */
void check_batch(const struct batch *batch);

/* Commits notes 1 … count; every `every`th is refused with `sqlstate`, all others are stored. */
void refuse_some(size_t count, unsigned every, const char *sqlstate);

#endif
