/*
 * types.c - the types that have a binary form here. Oids below 10000 never change (PostgreSQL,
 * src/include/catalog/pg_type.dat); extensions' types and enums are known by name and kind.
 */
#include "cell.h"

static const struct type types[] = {
    {TYPE_BOOL, 16, "bool", bool_encode},
    {TYPE_BYTEA, 17, "bytea", bytea_encode},
    {TYPE_INT8, 20, "int8", int8_encode},
    {TYPE_INT2, 21, "int2", int2_encode},
    {TYPE_INT4, 23, "int4", int4_encode},
    {TYPE_TEXT, 25, "text", text_encode},
    {TYPE_JSON, 114, "json", json_encode},
    {TYPE_CIDR, 650, "cidr", cidr_encode},
    {TYPE_FLOAT4, 700, "float4", float4_encode},
    {TYPE_FLOAT8, 701, "float8", float8_encode},
    {TYPE_INET, 869, "inet", inet_encode},
    {TYPE_BPCHAR, 1042, "char", limited_text_encode},
    {TYPE_VARCHAR, 1043, "varchar", limited_text_encode},
    {TYPE_DATE, 1082, "date", date_encode},
    {TYPE_TIME, 1083, "time", time_encode},
    {TYPE_TIMESTAMP, 1114, "timestamp", timestamp_encode},
    {TYPE_TIMESTAMPTZ, 1184, "timestamptz", timestamptz_encode},
    {TYPE_INTERVAL, 1186, "interval", interval_encode},
    {TYPE_NUMERIC, 1700, "numeric", numeric_encode},
    {TYPE_UUID, 2950, "uuid", uuid_encode},
    {TYPE_JSONB, 3802, "jsonb", jsonb_encode},
};
static const struct type type_citext = {TYPE_CITEXT, 0, "citext", text_encode};
static const struct type type_vector = {TYPE_VECTOR, 0, "vector", vector_encode};
static const struct type type_enum = {TYPE_ENUM, 0, NULL, enum_encode};
static const struct type type_other = {TYPE_OTHER, 0, NULL, NULL};

const struct type *type_find(const struct column_description *description)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].oid == description->base_oid) {
            return &types[i];
        }
    }
    if (description->enum_labels != NULL) {
        return &type_enum;
    }
    if (description->type_kind == 'b' && strcmp(description->type_name, "citext") == 0) {
        return &type_citext;
    }
    if (description->type_kind == 'b' && strcmp(description->type_name, "vector") == 0) {
        return &type_vector;
    }
    return &type_other;
}

bool type_is_text(enum type_id id)
{
    return id == TYPE_TEXT || id == TYPE_VARCHAR || id == TYPE_BPCHAR || id == TYPE_CITEXT;
}

bool type_is_json(enum type_id id)
{
    return id == TYPE_JSON || id == TYPE_JSONB;
}
