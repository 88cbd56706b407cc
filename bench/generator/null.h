/*
 * null.h - a server that takes messages and answers each with an `ack`, and does nothing else: what
 * the generator can do when nobody is slower than it.
 */
#ifndef BENCH_NULL_H
#define BENCH_NULL_H

/* Starts it in a process of its own, which ends with this one; returns its port. */
unsigned null_start(void);

#endif
