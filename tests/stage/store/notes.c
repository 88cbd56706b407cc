/* notes.c - see notes.h. */
#include "notes.h"

struct schema note;
struct builder builder;
struct rig *rig;

void notes_begin(void)
{
    rig_reset_database();
    note = note_schema();
    builder_init(&builder, 64u << 20);
}

int notes_setup(void **state)
{
    (void)state;
    notes_begin();
    rig = rig_open((struct rig_options){.prepared_rows = 16});
    rig_wait_ready(rig);
    return 0;
}

int notes_teardown(void **state)
{
    (void)state;
    rig_close_all();
    builder_fini(&builder);
    builder_schema_fini(&note);
    return 0;
}

struct batch *commit_notes(uint64_t sequence, uint64_t first, size_t count)
{
    builder_clear(&builder, sequence);
    add_notes(&builder, &note, first, count);
    struct batch *batch = builder_batch(&builder);
    rig_commit(rig, batch);
    return batch;
}

void check_batch(const struct batch *batch)
{
    uint64_t counts[3] = {0};
    for (size_t i = 0; i < batch->event_count; i++) {
        const struct batch_event *event = &batch->events[i];
        if (event->outcome == EVENT_STORED) {
            assert_int_equal(event->rank, counts[EVENT_STORED]);
        }
        counts[event->outcome]++;
    }
    assert_int_equal(counts[EVENT_STORED], batch->stored);
    assert_int_equal(counts[EVENT_DUPLICATE], batch->duplicates);
    assert_int_equal(counts[EVENT_REJECTED], batch->rejected);
    assert_int_equal(sql_number("SELECT last - first + 1 FROM penstock.batch WHERE position = %d",
                                (int)batch->sequence_last),
                     batch->stored);
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"),
                     sql_number("SELECT penstock.head()"));
    assert_int_equal(sql_number("SELECT coalesce(sum(rejected), 0) FROM penstock.account"),
                     sql_number("SELECT count(*) FROM penstock.dead_letter"));
}

void refuse_some(size_t count, unsigned every, const char *sqlstate)
{
    struct batch *batch = commit_notes(1, 1, count);
    check_batch(batch);
    size_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_bad = (i + 1) % every == 0;
        bad += is_bad;
        assert_int_equal(batch->events[i].outcome, is_bad ? EVENT_REJECTED : EVENT_STORED);
    }
    assert_int_equal(batch->rejected, bad);
    assert_int_equal(batch->rejection_count, bad);
    for (size_t i = 0; i < bad; i++) {
        assert_string_equal(batch->rejections[i].sqlstate, sqlstate);
        assert_int_equal(batch->rejections[i].event, (i + 1) * every - 1);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), count - bad);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\" WHERE n %% %u = 0", every), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter WHERE stream = 'note'"
                                " AND target = '\"public\".\"Note\"' AND sqlstate = '%s'"
                                " AND (event->>'n')::int %% %u = 0 AND event->>'body' = 'a note'"
                                " AND producer = '00000000feedbeef' AND node = 'node'"
                                " AND arrived = to_timestamp(1700000000)",
                                sqlstate, every),
                     bad);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0, 100000)"), count - bad);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0, 100000)"
                                " WHERE (data->>'n')::int %% %u = 0",
                                every),
                     0);
}
