/*
 * timer.c - a loop's timers: a list in the order they are due.
 *
 * A lane or a feed has a handful of timers, so a walk along the list beats any tree. A timer that
 * is started knows the link that points to it (`link`), and leaves the list without a walk.
 */
#include "engine.h"

#include "penstock/base.h"

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    (void)loop;
    if (timer->link == NULL) {
        return;
    }
    *timer->link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_us)
{
    loop_timer_stop(loop, timer);
    timer->due_us = due_us > loop->timers_not_before ? due_us : loop->timers_not_before;

    struct loop_timer **link = &loop->timers;
    while (*link != NULL && (*link)->due_us <= timer->due_us) {
        link = &(*link)->next;
    }
    timer->next = *link;
    timer->link = link;
    *link = timer;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
}

int64_t timers_wait_us(const struct loop *loop, int64_t timeout_us)
{
    if (loop->timers == NULL || timeout_us == 0) {
        return timeout_us;
    }
    int64_t wait_us = loop->timers->due_us - clock_monotonic_us();
    if (wait_us < 0) {
        return 0;
    }
    return timeout_us < 0 || wait_us < timeout_us ? wait_us : timeout_us;
}

void timers_run(struct loop *loop)
{
    if (loop->timers == NULL) {
        return;
    }
    int64_t now_us = clock_monotonic_us();
    loop->timers_not_before = now_us + 1;
    while (loop->timers != NULL && loop->timers->due_us <= now_us) {
        struct loop_timer *timer = loop->timers;
        loop_timer_stop(loop, timer);
        timer->on_due(timer);
    }
    loop->timers_not_before = 0;
}
