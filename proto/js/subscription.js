/*
 * subscription.js - one channel as a reader sees it: ascending, nothing twice, nothing left out in silence.
 *
 * A subscription is a cursor, `seen`: the position (offset and epoch) up to which events were taken in. Every `subscribe` asks for what
 * comes behind it, and events count only between its `subscribed` and the next `unsubscribe`: what a server had on
 * the way for the one before would else step over events that the new one is about to send. While a channel is quiet,
 * `position` moves its cursor: it would else stay where retention takes the log away below it.
 *
 * With a callback, what was taken in was handled. An iterator's reader may be slower: up to `buffer` events wait for
 * it, then the client unsubscribes, and subscribes again when half of them are read. An event that it holds is handled
 * when it asks for the next one; `offset`, and what `remember` keeps, never go beyond that.
 */
import { closedError, PenstockError } from "./error.js";

const BUFFER = 1000;

export class Subscription {
    #link; // what the client does for us: pause(), resume(), close(), gap(gap), fail(error)
    #onEvent;
    #options;
    #memory; // {load(), save(position)}, or null
    #seen = null; // {offset, epoch}
    #handled = null; // the same, of what no reader holds or has before it
    #isHeld = false; // the reader has an event, and has not asked for the next one
    #isLive = false; // between `subscribed` and `unsubscribe`
    #isPaused = false;
    #isReady = false; // `ready` has resolved
    #isIterated = false;
    #queue = [];
    #readers = []; // of next() calls that wait
    #ended = null;
    #settleReady;

    constructor(channel, options, onEvent, memory, link) {
        this.channel = channel;
        this.skipped = 0;
        this.#options = options;
        this.#onEvent = onEvent;
        this.#memory = memory;
        this.#link = link;
        /** A promise of the first `subscribed`: {offset, epoch, recovered, reason}. */
        this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
        this.ready.catch(() => {}); // whoever awaits it hears of it; nobody has to
    }

    /** Behind which offset a later subscription would continue, with `epoch`: all before it is handled. */
    get offset() {
        return this.#handled?.offset ?? null;
    }

    /** Whose offset that is. */
    get epoch() {
        return this.#handled?.epoch ?? null;
    }

    /** How many events wait for the iterator's reader. */
    get buffered() {
        return this.#queue.length;
    }

    /** Stops listening; an iterator ends. */
    close() {
        if (!this.#ended) {
            this.#link.close();
            this._end(null);
        }
    }

    [Symbol.asyncIterator]() {
        if (this.#onEvent) {
            throw new Error("the events of this subscription go to its callback");
        }
        this.#isIterated = true;
        return { next: () => this.#next(), return: () => this.#return() };
    }

    #next() {
        if (this.#isHeld) {
            this.#isHeld = false;
            this.#handle(this.#queue.length > 0 ? this.#queue[0].before : this.#seen);
        }
        if (this.#queue.length > 0) {
            const { event } = this.#queue.shift();
            this.#isHeld = true;
            this.#resumeWhenRead();
            return Promise.resolve({ value: event, done: false });
        }
        if (this.#ended) {
            const { error } = this.#ended;
            return error && error.code !== "closed" ? Promise.reject(error)
                : Promise.resolve({ value: undefined, done: true });
        }
        return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    }

    #return() {
        this.close();
        return Promise.resolve({ value: undefined, done: true });
    }

    #resumeWhenRead() {
        if (this.#isPaused && !this.#ended && this.#queue.length <= this.#most / 2) {
            this.#isPaused = false;
            this.#link.resume();
        }
    }

    get #most() {
        return this.#options.buffer ?? BUFFER;
    }

    // ---- called by the client ---------------------------------------------------------------

    get _isPaused() {
        return this.#isPaused;
    }

    /** The session is gone, or another `subscribe` is on its way. */
    _wait() {
        this.#isLive = false;
    }

    /** What a `subscribe` must say for the server to continue where we are. */
    _position() {
        const { latestOnly, last, ...given } = this.#options;
        const { offset = given.since, epoch = given.epoch } = this.#seen ?? this.#memory?.load() ?? {};
        const position = offset !== undefined ? { since: offset, epoch } : last !== undefined ? { last } : {};
        return latestOnly ? { ...position, latest_only: true } : position;
    }

    _subscribed({ offset, epoch, recovered, reason }) {
        if (this.#ended) {
            return;
        }
        this.#isLive = true;
        this.#seen = { offset, epoch };
        this.#settle();
        this.#isReady = true;
        this.#settleReady.resolve({ offset, epoch, recovered, reason });
        if (!recovered) {
            this._gap({ channel: this.channel, reason });
        }
    }

    /** Events that will not come: of the offsets from … to, or (without these) of another history. */
    _gap(gap) {
        if (!this.#isLive) {
            return;
        }
        if (gap.to < this.#seen.offset) { // the log went back: what comes now has offsets that others had before
            this.#seen = { offset: gap.to, epoch: this.#seen.epoch };
            this.#settle();
        } else {
            this._pass(gap.to);
        }
        this.#link.gap(gap);
        this._tell("onGap", gap);
    }

    /** Everything up to this offset has come, or will not. */
    _pass(offset) {
        if (this.#isLive && offset > this.#seen.offset) {
            this.#seen = { offset, epoch: this.#seen.epoch };
            this.#settle();
        }
    }

    _events(events, skipped = 0) {
        if (!this.#isLive) {
            return; // meant for the `subscribe` before this one; it will come again
        }
        if (skipped > 0) {
            this.skipped += skipped;
            this._tell("onSkip", skipped);
        }
        for (const event of events) {
            if (this.#isLive && event.offset > this.#seen.offset) {
                const before = this.#seen;
                this.#seen = { offset: event.offset, epoch: before.epoch };
                this.#deliver(event, before);
            }
        }
        this.#settle();
    }

    /** Calls the option of this name; its mistake is its own, and must not cost events or the session. */
    _tell(name, ...values) {
        this.#call(this.#options[name], values);
    }

    /** The server has ended it. Where neither `ready` nor an iterator says so any more, the client does. */
    _refused(error) {
        error.channel = this.channel;
        this._end(error);
        if (this.#isReady && !this.#isIterated) {
            this.#link.fail(error);
        }
    }

    _end(error) {
        this.#ended = { error };
        this.#isLive = false;
        this.#settleReady.reject(error ?? closedError());
        for (const { resolve, reject } of this.#readers.splice(0)) {
            error && error.code !== "closed" ? reject(error) : resolve({ value: undefined, done: true });
        }
    }

    // ---- handing out ------------------------------------------------------------------------

    #deliver(event, before) {
        if (this.#onEvent) {
            this.#call(this.#onEvent, [event]);
        } else if (this.#readers.length > 0) {
            this.#isHeld = true;
            this.#handle(before);
            this.#readers.shift().resolve({ value: event, done: false });
        } else if (this.#queue.push({ event, before }) >= this.#most) {
            this.#isPaused = true;
            this.#isLive = false;
            this.#link.pause();
        }
    }

    #call(callback, values) {
        try {
            callback?.(...values);
        } catch (error) {
            setTimeout(() => { throw error; });
        }
    }

    /** With nothing in anybody's hands, all that was seen is handled. */
    #settle() {
        if (!this.#isHeld && this.#queue.length === 0 && !this.#ended) {
            this.#handle(this.#seen);
        }
    }

    #handle(position) {
        if (position !== this.#handled) {
            this.#handled = position;
            this.#memory?.save(position);
        }
    }
}

/** Where a subscription's position is kept across page loads: in `storage`, a sessionStorage or localStorage. */
export function memoryOf(storage, key, fail) {
    let hasFailed = false;
    const attempt = (action) => {
        try {
            return action();
        } catch (error) {
            hasFailed || fail(new PenstockError({ code: "io",
                message: `the position of ${key} cannot be remembered: ${error.message}` }));
            hasFailed = true;
            return undefined;
        }
    };
    return {
        load() {
            const [, offset, epoch] = /^(\d+):(.+)$/.exec(attempt(() => storage.getItem(key)) ?? "") ?? [];
            return offset === undefined ? undefined : { offset: Number(offset), epoch };
        },
        save({ offset, epoch }) {
            attempt(() => storage.setItem(key, `${offset}:${epoch}`));
        },
    };
}
