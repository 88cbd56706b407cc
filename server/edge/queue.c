/*
 * queue.c - chains blocks of frames, and recycles them.
 */
#include "queue.h"

#include <stdlib.h>

static struct block *block_get(struct block_pool *pool, size_t room)
{
    struct block *block = pool->unused;
    if (room <= BLOCK_BYTES && block != NULL) {
        pool->unused = block->next;
        pool->unused_count--;
    } else {
        room = room < BLOCK_BYTES ? BLOCK_BYTES : room;
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        block->room = (uint32_t)room;
    }
    block->next = NULL;
    block->size = 0;
    return block;
}

static void block_put(struct block_pool *pool, struct block *block)
{
    if (block->room != BLOCK_BYTES || pool->unused_count >= POOL_BLOCKS_KEPT) {
        free(block);
        return;
    }
    block->next = pool->unused;
    pool->unused = block;
    pool->unused_count++;
}

void block_pool_fini(struct block_pool *pool)
{
    while (pool->unused != NULL) {
        struct block *block = pool->unused;
        pool->unused = block->next;
        free(block);
    }
    pool->unused_count = 0;
}

/* The last block, if it has room, else a new one behind it. */
static struct block *block_for(struct queue *queue, struct block_pool *pool, size_t size)
{
    struct block *last = queue->last;
    if (last != NULL && last->room - last->size >= size) {
        return last;
    }
    struct block *block = block_get(pool, size);
    if (block == NULL) {
        return NULL;
    }
    if (last != NULL) {
        last->next = block;
    } else {
        queue->first = block;
    }
    queue->last = block;
    return block;
}

bool queue_append(struct queue *queue, struct block_pool *pool, enum frame_opcode opcode,
                  struct span payload)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t header_bytes = frame_header(header, opcode, payload.size);
    struct block *block = block_for(queue, pool, header_bytes + payload.size);
    if (block == NULL) {
        return false;
    }
    struct writer out = writer_of(block->data + block->size, block->room - block->size);
    writer_bytes(&out, header, header_bytes);
    writer_put(&out, payload);
    block->size += (uint32_t)writer_size(&out);
    queue->bytes += writer_size(&out);
    return true;
}

static void drop_first(struct queue *queue, struct block_pool *pool)
{
    struct block *block = queue->first;
    queue->first = block->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->bytes -= block->size;
    block_put(pool, block);
}

void queue_take(struct queue *queue, struct block_pool *pool, struct writer *out)
{
    while (queue->first != NULL && queue->first->size <= writer_room(out)) {
        writer_bytes(out, queue->first->data, queue->first->size);
        drop_first(queue, pool);
    }
}

void queue_splice(struct queue *queue, struct queue *from)
{
    if (from->first == NULL) {
        return;
    }
    if (queue->last != NULL) {
        queue->last->next = from->first;
    } else {
        queue->first = from->first;
    }
    queue->last = from->last;
    queue->bytes += from->bytes;
    *from = (struct queue){0};
}

void queue_clear(struct queue *queue, struct block_pool *pool)
{
    while (queue->first != NULL) {
        drop_first(queue, pool);
    }
}
