#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

struct arena_piece {
    struct arena_piece *next;
    alignas(max_align_t) uint8_t bytes[];
};

void *arena_take(struct arena *arena, size_t size)
{
    struct arena_piece *piece = calloc(1, sizeof *piece + size);
    if (piece == NULL) {
        return NULL;
    }
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece->bytes;
}

struct span arena_copy(struct arena *arena, struct span bytes)
{
    uint8_t *copy = arena_take(arena, bytes.size + 1);
    if (copy != NULL && bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return span_of(copy, bytes.size);
}

void arena_free(struct arena *arena)
{
    while (arena->pieces != NULL) {
        struct arena_piece *piece = arena->pieces;
        arena->pieces = piece->next;
        free(piece);
    }
}
