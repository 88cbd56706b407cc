/*
 * examples.c - the example tables and streams, embedded by cmake/embed.cmake.
 */
#include "penstock/dev.h"

#include "examples_conf.h"
#include "examples_sql.h"

const char *example_sql(void)
{
    return (const char *)examples_sql;
}

const char *example_conf(void)
{
    return (const char *)examples_conf;
}
