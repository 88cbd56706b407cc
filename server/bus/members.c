/* members.c - see members.h. */
#include "members.h"

#include <stdlib.h>

#define BUCKETS ((size_t)1 << 16) /* of each table */

enum status members_init(struct members *members, size_t most, struct problem *problem)
{
    members->most = most;
    members->places = calloc(BUCKETS, sizeof(struct place *));
    members->members = calloc(BUCKETS, sizeof(struct member *));
    if (members->places == NULL || members->members == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for presence");
    }
    return STATUS_OK;
}

void members_fini(struct members *members)
{
    for (size_t i = 0; members->members != NULL && i < BUCKETS; i++) {
        while (members->members[i] != NULL) {
            members_remove(members, members->members[i]);
        }
    }
    free(members->places);
    free(members->members);
    *members = (struct members){0};
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Names are the clients' to choose: keyed, so that nobody can fill one bucket. */
static struct place **place_bucket(const struct members *members, struct span channel)
{
    return &members->places[hash_keyed(channel) % BUCKETS];
}

static struct member **member_bucket(const struct members *members, const struct place *place,
                                     const uint8_t *session)
{
    struct {
        const struct place *place;
        uint8_t session[BUS_SESSION_BYTES];
    } key = {.place = place};
    memcpy(key.session, session, sizeof key.session);
    return &members->members[hash_keyed(span_of(&key, sizeof key)) % BUCKETS];
}

struct place *members_at(const struct members *members, struct span channel)
{
    struct place *place = *place_bucket(members, channel);
    while (place != NULL && !span_equals(place_name(place), channel)) {
        place = place->behind;
    }
    return place;
}

struct member *members_find(const struct members *members, struct span channel,
                            const uint8_t session[BUS_SESSION_BYTES])
{
    const struct place *place = members_at(members, channel);
    struct member *member = place == NULL ? NULL : *member_bucket(members, place, session);
    while (member != NULL &&
           (member->place != place || memcmp(member->session, session, BUS_SESSION_BYTES) != 0)) {
        member = member->behind;
    }
    return member;
}

/* ---- adding and removing --------------------------------------------------------------------- */

/* The same on all nodes; the last steps are MurmurHash3's finalizer, so that sums of it are as good
 * as random. */
static uint64_t digest_of(const struct member *member)
{
    uint64_t sum = hash_name(place_name(member->place)) * 31 +
                   hash_name(span_of(member->session, sizeof member->session));
    sum ^= sum >> 33;
    sum *= UINT64_C(0xff51afd7ed558ccd);
    sum ^= sum >> 33;
    sum *= UINT64_C(0xc4ceb9fe1a85ec53);
    return sum ^ sum >> 33;
}

static struct place *make_place(struct members *members, struct span channel)
{
    struct place *place = members_at(members, channel);
    if (place != NULL) {
        return place;
    }
    place = calloc(1, sizeof *place + channel.size);
    if (place != NULL) {
        struct place **bucket = place_bucket(members, channel);
        place->name_bytes = (uint8_t)channel.size;
        memcpy(place->name, channel.data, channel.size);
        place->behind = *bucket;
        *bucket = place;
    }
    return place;
}

static void drop_if_empty(struct members *members, struct place *place)
{
    if (place->all.first != NULL) {
        return;
    }
    struct place **at = place_bucket(members, place_name(place));
    while (*at != place) {
        at = &(*at)->behind;
    }
    *at = place->behind;
    free(place);
}

static void link_up(struct members *members, struct member *member)
{
    struct member **bucket = member_bucket(members, member->place, member->session);
    member->behind = *bucket;
    *bucket = member;
    list_prepend(&member->place->all, member, at_place);
    member->place->count++;
    list_prepend(&member->roster->all, member, in_roster);
    member->roster->count++;
    member->roster->digest += digest_of(member);
    members->count++;
}

struct member *members_add(struct members *members, struct roster *roster, struct span channel,
                           const uint8_t session[BUS_SESSION_BYTES], struct span user)
{
    if (members->count >= members->most) {
        return NULL;
    }
    struct member *member = calloc(1, sizeof *member + user.size);
    struct place *place = member == NULL ? NULL : make_place(members, channel);
    if (place == NULL) {
        free(member);
        return NULL;
    }
    member->place = place;
    member->roster = roster;
    member->round = roster->round;
    member->user_bytes = (uint8_t)user.size;
    memcpy(member->session, session, BUS_SESSION_BYTES);
    if (user.size > 0) {
        memcpy(member->user, user.data, user.size);
    }
    link_up(members, member);
    return member;
}

static void leave_roster(struct member *member)
{
    list_remove(&member->roster->all, member, in_roster);
    member->roster->count--;
    member->roster->digest -= digest_of(member);
}

static void leave_place(struct member *member)
{
    list_remove(&member->place->all, member, at_place);
    member->place->count--;
}

void members_remove(struct members *members, struct member *member)
{
    struct member **at = member_bucket(members, member->place, member->session);
    while (*at != member) {
        at = &(*at)->behind;
    }
    *at = member->behind;
    leave_roster(member);
    leave_place(member);
    drop_if_empty(members, member->place);
    free(member);
    members->count--;
}
