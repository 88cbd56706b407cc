/*
 * append.c - records into the open group, and the group sealed into a frame.
 *
 *   1. the first record opens a group: a place in the arena, and a place on disk behind what was
 *      sealed before, in the current segment, or in the next one when it does not fit there;
 *   2. a record whose schema the segment does not carry yet brings it along, in front;
 *   3. a record that does not fit the group seals it and opens the next;
 *   4. journal_flush() seals it when no write is under way.
 *
 * So the place is known from the beginning, and nothing is moved or patched afterwards. FULL is
 * answered when a group cannot be opened: too much waits to be written, all memory is lent or not
 * durable yet, there is no memory for a schema, or there is no next segment and none in the making.
 */
#include "journal_private.h"

#include <inttypes.h>

/* What the record needs in a segment that may not carry its schema. */
static size_t bytes_needed(struct span record, const struct known_schema *schema, uint64_t segment)
{
    return record.size + (schema->segment == segment ? 0 : schema->bytes);
}

/* Room for frames behind `offset`, with the page for a mark left free. */
static uint64_t room_behind(uint64_t segment_bytes, uint64_t offset)
{
    return offset + PAGE_BYTES < segment_bytes ? segment_bytes - PAGE_BYTES - offset : 0;
}

/* Where the group goes: the place behind the last frame, or the front of the next segment. Returns
 * the room there, 0 when there is none yet. */
static uint64_t place_group(struct journal *journal, struct span record,
                            const struct known_schema *schema)
{
    struct segment *current = segment_current(&journal->segments);
    uint64_t current_number = current == NULL ? 0 : current->number;
    uint64_t bytes = journal->place.segment == current_number && current != NULL
                         ? current->bytes
                         : journal->spare.bytes;
    if (journal->place.segment != 0) {
        size_t needed = bytes_needed(record, schema, journal->place.segment);
        uint64_t room = room_behind(bytes, journal->place.offset);
        if (frame_bytes(needed) <= room) {
            return room;
        }
    }
    uint64_t next = journal->place.segment + 1;
    if (!prepare_promises(journal, next)) {
        return 0; /* also while the one before it is still waiting for its turn */
    }
    journal->place.segment = next;
    journal->place.offset = PAGE_BYTES;
    return room_behind(journal->spare.bytes, PAGE_BYTES);
}

static bool group_open(struct journal *journal, struct span record,
                       const struct known_schema *schema)
{
    if (journal->sealed_bytes >= journal->frame_bytes_max) {
        return false; /* the disk is behind: more would only wait longer */
    }
    /* With the schema, whether or not it is there already: the segment is not chosen yet. */
    size_t bytes = frame_bytes(record.size + schema->bytes);
    if (!arena_make_room(journal, bytes)) {
        return false;
    }
    uint64_t room = place_group(journal, record, schema);
    if (room == 0) {
        return false;
    }
    struct slab *slab = journal->arena.open;
    size_t slab_room = journal->arena.slab_bytes - slab->used;
    room = room < slab_room ? room : slab_room;
    room = room < journal->frame_bytes_max ? room : journal->frame_bytes_max;
    journal->group = (struct group){
        .at = slab->memory + slab->used,
        .body_room = room - sizeof(struct frame_header),
        .segment = journal->place.segment,
    };
    return true;
}

static void group_put(struct group *group, struct span record, uint32_t events)
{
    memcpy(group->at + sizeof(struct frame_header) + group->body_bytes, record.data, record.size);
    group->body_bytes += record.size;
    group->records++;
    group->events += events;
}

static bool group_has_room(const struct group *group, struct span record,
                           const struct known_schema *schema)
{
    return group->at != NULL &&
           group->body_bytes + bytes_needed(record, schema, group->segment) <= group->body_room;
}

static void keep_frame(struct journal *journal, const struct group *group, uint64_t bytes)
{
    struct slab *slab = journal->arena.open;
    if (slab->count == 0) {
        slab->first_sequence = journal->sealed;
    }
    slab->frames[slab->count++] = (struct kept_frame){
        .segment = journal->place.segment,
        .offset = journal->place.offset,
        .slab_offset = (uint32_t)slab->used,
        .body_bytes = (uint32_t)group->body_bytes,
        .records = group->records,
        .events = group->events,
    };
    slab->used += bytes;
    journal->place.offset += bytes;
    journal->sealed_bytes += bytes;
}

void group_seal(struct journal *journal)
{
    struct group group = journal->group;
    if (group.at == NULL) {
        return;
    }
    journal->group.at = NULL;
    journal->sealed++;
    struct span body = span_of(group.at + sizeof(struct frame_header), group.body_bytes);
    struct frame_header header = {
        .magic = FRAME_MAGIC,
        .kind = FRAME_RECORDS,
        .journal_id = journal->id,
        .segment = group.segment,
        .sequence = journal->sealed,
        .previous = journal->previous,
        .kept_from = segment_kept_from(&journal->segments),
        .records = group.records,
        .events = group.events,
    };
    frame_header_seal(&header, body);
    memcpy(group.at, &header, sizeof header);
    uint64_t bytes = frame_bytes(body.size);
    size_t filled = sizeof header + body.size;
    memset(group.at + filled, 0, bytes - filled);
    journal->previous = journal->sealed;
    keep_frame(journal, &group, bytes);
}

/* The record by its header, as the contract has it. */
static bool record_is_sound(struct journal *journal, struct span record, struct record_cursor *out)
{
    if (!record_open(record, out) || out->header.bytes != record.size ||
        out->header.kind != RECORD_EVENTS) {
        journal_fail(journal, STATUS_INTERNAL, "a record of %zu bytes for the journal is malformed",
                     record.size);
        return false;
    }
    return true;
}

/* Too little memory passes, and the record waits in its ring meanwhile. */
static void complain_of_memory(struct journal *journal)
{
    if (!journal->schemas.complained) {
        journal->schemas.complained = true;
        log_error("journal", "no memory for a schema of %s; publishers have to wait",
                  journal->folder);
    }
}

/* The schema, and proof that a frame can hold both. NULL: not now, or the journal has failed. */
static struct known_schema *find_schema(struct journal *journal, struct span record, uint64_t key)
{
    struct known_schema *schema;
    switch (schemas_get(journal, key, &schema)) {
    case SCHEMA_KNOWN:
        journal->schemas.complained = false;
        break;
    case SCHEMA_UNKNOWN:
        journal_fail(journal, STATUS_INTERNAL,
                     "nobody knows the schema %016" PRIx64 " that a record names", key);
        return NULL;
    case SCHEMA_NO_MEMORY:
        complain_of_memory(journal);
        return NULL;
    }
    if (frame_bytes(record.size + schema->bytes) > journal->frame_bytes_max) {
        journal_fail(journal, STATUS_INTERNAL,
                     "a record of %zu bytes does not fit a journal segment: raise "
                     "journal_segment_bytes",
                     record.size);
        return NULL;
    }
    return schema;
}

enum journal_answer journal_append(struct journal *journal, struct span record)
{
    struct record_cursor cursor;
    if (!journal->started || journal->failed || journal->closing ||
        !record_is_sound(journal, record, &cursor)) {
        return JOURNAL_FULL;
    }
    struct known_schema *schema = find_schema(journal, record, cursor.header.schema_key);
    if (schema == NULL) {
        return JOURNAL_FULL;
    }
    if (!group_has_room(&journal->group, record, schema)) {
        if (journal->group.at != NULL) {
            group_seal(journal);
            write_next(journal);
            /* The write may have recycled a segment, and with it forgotten schemas. */
            schema = find_schema(journal, record, cursor.header.schema_key);
        }
        if (schema == NULL || !group_open(journal, record, schema)) {
            return JOURNAL_FULL;
        }
    }
    if (schema->segment != journal->group.segment) {
        group_put(&journal->group, span_of(schema->record, schema->bytes), 0);
        schema->segment = journal->group.segment;
    }
    group_put(&journal->group, record, cursor.header.events);
    return JOURNAL_TAKEN;
}

void journal_flush(struct journal *journal)
{
    if (!journal->started || journal->failed || journal->closing) {
        return;
    }
    if (journal->writing != WRITING_NOTHING || journal->sealed > journal->durable) {
        journal->flush_wanted = journal->group.at != NULL;
    } else {
        group_seal(journal);
    }
    write_next(journal);
}
