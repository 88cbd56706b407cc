/*
 * journal_crash_test.c - the machine stops at a random moment: what was reported durable is there.
 *
 * The folder is copied while writes are under way, which leaves any mixture of written and
 * unwritten pages, and a second journal recovers the copy. The seed is printed; PENSTOCK_SEED=n
 * replays it.
 */
#include "journal_fixture.h"

#define LIVES   8
#define MOMENTS 40

static uint64_t random_state;

/* splitmix64; good enough to choose moments. */
static uint64_t draw(uint64_t below)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

static size_t draw_size(void)
{
    size_t most = draw(10) == 0 ? 40000 : 1500;
    return (80 + draw(most)) / 8 * 8;
}

struct crash {
    struct world *world;
    uint64_t released; /* frames */
};

/* One step of a busy lane: some records, perhaps a flush, perhaps a look at the disk's answers. */
static void step(struct crash *crash)
{
    struct world *world = crash->world;
    struct problem problem;
    for (uint64_t i = draw(6); i > 0; i--) {
        (void)world_append(world, draw_size());
    }
    if (draw(2) == 0) {
        journal_flush(world->journal);
    }
    if (draw(3) != 0) {
        assert_int_equal(loop_run_once(world->loop, draw(2) == 0 ? 0 : 300, &problem), STATUS_OK);
    }
    if (world->durable > crash->released && draw(10) == 0) {
        crash->released += 1 + draw(world->durable - crash->released);
        journal_release(world->journal, crash->released);
    }
    assert_int_equal(world->failures, 0);
}

/* Recovers a copy of the folder: everything durable and not released is there, whole, in order. */
static void check_copy(struct crash *crash, uint64_t durable, uint64_t durable_tag)
{
    struct world *world = crash->world, copy = {.knows_schemas = true};
    snprintf(copy.folder, sizeof copy.folder, "%.200s-copy", world->folder);
    folder_copy(world->folder, copy.folder);
    copy.options = world->options;
    copy.options.folder = copy.folder;
    copy.options.owner = &copy;
    copy.loop = world->loop;
    if (world_open_journal(&copy) != STATUS_OK) {
        fail_msg("%s", copy.problem.text);
    }
    struct journal_figures figures;
    journal_figures(copy.journal, &figures);
    assert_true(figures.durable_sequence >= durable);
    if (durable > crash->released) {
        assert_true(figures.first_sequence != 0 && figures.first_sequence <= crash->released + 1);
        struct tags tags = world_read_all(&copy, crash->released + 1);
        assert_true(tags.last >= durable_tag);
    }
    journal_close(copy.journal);
    folder_empty(copy.folder);
    rmdir(copy.folder);
}

static void what_was_durable_survives_a_crash_at_any_moment(void **state)
{
    struct crash crash = {.world = *state};
    struct world *world = crash.world;
    for (int life = 0; life < LIVES; life++) {
        /* Mostly short of segments, so that they are recycled as soon as they may be. */
        world->options.bytes_max = (2 + draw(3)) * SEGMENT_BYTES_MIN;
        world_reopen(world); /* also a clean restart in between */
        world_start(world, crash.released);
        struct journal_figures figures;
        journal_figures(world->journal, &figures);
        world->tag_durable = 0;
        if (figures.durable_sequence > crash.released) {
            world->tag_durable = world_read_all(world, crash.released + 1).last;
        }
        world->durable = figures.durable_sequence;
        world->tag_next = world->tag_durable =
            world->tag_durable == 0 && world->tag_next > 1 ? world->tag_next : world->tag_durable;
        world->tag_next++;
        for (int moment = 0; moment < MOMENTS; moment++) {
            for (uint64_t i = draw(40); i > 0; i--) {
                step(&crash);
            }
            check_copy(&crash, world->durable, world->tag_durable);
        }
    }
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_durable_survives_a_crash_at_any_moment,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name(loop_engine_name(fixture_engine), tests, NULL, NULL);
}

int main(void)
{
    const char *seed = getenv("PENSTOCK_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_unix_us();
    printf("PENSTOCK_SEED=%" PRIu64 "\n", random_state);
    return run_on_both_engines(run);
}
