/*
 * difference.c - what changed between two shapes of a stream's table, in words for an operator; and
 * whether publishers who know only the first are refused.
 *
 * Columns are matched by name, as events and COPY do: a renamed one is one that is gone and one
 * that is new.
 */
#include "plan.h"

struct notes {
    struct writer *out;
    enum stream_change change; /* so far */
};

static void note(struct notes *notes, const char *text)
{
    writer_string(notes->out, notes->change != STREAM_SAME ? "; " : "");
    writer_string(notes->out, text);
    notes->change = notes->change == STREAM_SAME ? STREAM_ALTERED : notes->change;
}

/* The note before says something that publishers must follow. */
static void note_breaks(struct notes *notes, bool breaks)
{
    notes->change = breaks ? STREAM_BROKEN : notes->change;
}

static void note_column(struct notes *notes, const struct column *column, const char *what)
{
    note(notes, "column \"");
    writer_put(notes->out, column->name);
    writer_string(notes->out, what);
}

/* ---- columns --------------------------------------------------------------------------------- */

static const char *presence(const struct column *column)
{
    switch (column->fill) {
    case FILL_REQUIRED:
        return "required";
    case FILL_DATABASE:
        return "computed by the database";
    case FILL_CONSTANT:
        return "with a default";
    default:
        return "may be left out";
    }
}

static void note_new(struct notes *notes, const struct column *column)
{
    note_column(notes, column, "\" is new (");
    writer_put(notes->out, column->type_text);
    writer_string(notes->out, ", ");
    writer_string(notes->out, presence(column));
    writer_string(notes->out, ")");
    note_breaks(notes, column->fill == FILL_REQUIRED);
}

static bool same_labels(const struct column *a, const struct column *b)
{
    bool same = a->label_count == b->label_count;
    for (size_t i = 0; same && i < a->label_count; i++) {
        same = span_equals(a->labels[i], b->labels[i]);
    }
    return same;
}

static bool same_fill(const struct column *a, const struct column *b)
{
    return a->fill == b->fill && a->precision == b->precision && a->is_day == b->is_day &&
           (a->fill != FILL_CONSTANT || span_equals(a->constant_json, b->constant_json));
}

static void note_type(struct notes *notes, const struct column *before, const struct column *after)
{
    if (!span_equals(before->type_text, after->type_text)) {
        note_column(notes, after, "\" is ");
        writer_put(notes->out, after->type_text);
        writer_string(notes->out, ", was ");
        writer_put(notes->out, before->type_text);
    } else if (before->type_oid != after->type_oid || before->modifier != after->modifier) {
        note_column(notes, after, "\" has another type of the same name");
    } else if (!same_labels(before, after)) {
        note_column(notes, after, "\" has other labels");
    } else {
        return;
    }
    note_breaks(notes, !column_accepts(after, before));
}

/* NULL may have been sent, unless nothing may. */
static void note_null(struct notes *notes, const struct column *before, const struct column *after)
{
    if (before->not_null != after->not_null) {
        note_column(notes, after, after->not_null ? "\" is NOT NULL now" : "\" may be NULL now");
        note_breaks(notes, after->not_null && before->fill != FILL_DATABASE);
    }
}

static void note_change(struct notes *notes, const struct column *before,
                        const struct column *after)
{
    note_type(notes, before, after);
    note_null(notes, before, after);
    if (same_fill(before, after)) {
        return;
    }
    if (before->fill == after->fill) {
        note_column(notes, after, "\" has another default");
    } else {
        note_column(notes, after, "\" is now ");
        writer_string(notes->out, presence(after));
        note_breaks(notes, after->fill == FILL_REQUIRED || after->fill == FILL_DATABASE);
    }
}

static void note_columns(struct notes *notes, const struct stream *before,
                         const struct stream *after)
{
    for (uint16_t i = 0; i < after->column_count; i++) {
        const struct column *column = &after->columns[i];
        int at = stream_find_column(before, column->name);
        if (at < 0) {
            note_new(notes, column);
        } else {
            note_change(notes, &before->columns[at], column);
        }
    }
    for (uint16_t i = 0; i < before->column_count; i++) {
        if (stream_find_column(after, before->columns[i].name) < 0) {
            note_column(notes, &before->columns[i], "\" is gone");
            note_breaks(notes, before->columns[i].fill != FILL_DATABASE);
        }
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool same_key(const struct stream *a, const struct stream *b)
{
    bool same = a->key_count == b->key_count;
    for (uint16_t i = 0; same && i < a->key_count; i++) {
        same = span_equals(a->columns[a->copied[a->key[i]]].name,
                           b->columns[b->copied[b->key[i]]].name);
    }
    return same;
}

/* Who sent the former key with an event may leave out what the new one has besides. */
static void note_key(struct notes *notes, const struct stream *before, const struct stream *after)
{
    if (same_key(before, after)) {
        return;
    }
    note(notes, after->key_count > 0 ? "it has another primary key"
                                     : "no primary key tells duplicates any more");
    bool remakes = stream_remakes_key(after);
    if (remakes) {
        writer_string(notes->out, ", and events without ");
        stream_write_remade(after, notes->out);
        writer_string(notes->out, " make a second row when they are sent again");
    }
    bool told_resends = before->key_count > 0 && !stream_remakes_key(before);
    note_breaks(notes, after->key_count == 0 || (remakes && told_resends));
}

static void note_table(struct notes *notes, const struct stream *before, const struct stream *after)
{
    if (!span_equals(before->table_schema, after->table_schema) ||
        !span_equals(before->table_name, after->table_name)) {
        note(notes, "it is now \"");
        writer_put(notes->out, after->table_schema);
        writer_string(notes->out, "\".\"");
        writer_put(notes->out, after->table_name);
        writer_string(notes->out, "\"");
    }
    note_key(notes, before, after);
}

enum stream_change stream_difference(const struct stream *before, const struct stream *after,
                                     struct writer *out)
{
    struct notes notes = {out, STREAM_SAME};
    note_table(&notes, before, after);
    note_columns(&notes, before, after);
    if (notes.change == STREAM_SAME && before->schema_key != after->schema_key) {
        note(&notes, "its columns stand in another order");
    }
    return notes.change;
}
