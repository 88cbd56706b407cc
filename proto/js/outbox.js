/*
 * outbox.js - what was published and has no answer yet, in the order of publish().
 *
 * Life of a publication (one call of publish()):
 *   1. add() encodes its events and puts it, as one message, at the end of `waiting`; a store, if there is one,
 *      gets a copy that outlives the page;
 *   2. flush() takes messages from `waiting`, cuts those that are over the server's limits into several, gives
 *      each an id, sends it, and keeps it in `inFlight`: at most `maxInFlight` at once;
 *   3. an `ack` or `error` for the id ends the message. "Try again later", and a lost session, bring it back to its
 *      old place in `waiting`: nothing is forgotten before its answer. The events have ids of their own, so that
 *      the table has them once, however often they are sent;
 *   4. when the last message of a publication has ended, its promise is settled and the store forgets it.
 *
 * What a store brings (of the page before, or of a page that is gone) goes the same way; it has no promise any more,
 * so a refusal is told as an "error" event.
 */
import { CODECS, recode } from "./codec.js";
import { PenstockError } from "./error.js";

const BUSY = new Set(["overloaded", "rate_limited", "unavailable"]);
/** The server's or its operator's trouble: waited out as well, but somebody should hear of it. */
const TROUBLE = new Set(["no_memory", "internal", "disk_full", "io", "bad_config", "bad_database", "bad_journal",
    "address_in_use", "journal_failed"]);
const HOLD_MS = 1000; // when the server does not say how long; doubled up to
const HOLD_MS_MAX = 30000;
const HEAD_BYTES = 128; // of a `publish` without events and stream, generously

/** Is a message that was answered with this code to be sent again? */
export function isPassing(code) {
    return BUSY.has(code) || TROUBLE.has(code);
}

/** The pause that the server asks for, and a little more, so that clients do not come back in step. */
export function pauseOf(answer, turn = 0) {
    const asked = answer.retry_after_ms ?? Math.min(HOLD_MS * 2 ** Math.min(turn, 10), HOLD_MS_MAX);
    return asked * (1 + Math.random() / 4);
}

export class Outbox {
    #options; // codec, maxPending, maxPendingBytes, maxInFlight
    #store; // null: memory only
    #link; // what the client does for us: limits(), nextId(), send(frame), refresh(), fail(error)
    #waiting = []; // messages, in order
    #inFlight = new Map(); // id -> message
    #publications = new Set();
    #bytes = 0;
    #nextTurn = 0;
    #hold = { until: 0, timer: null, count: 0 };

    constructor(options, store, link) {
        this.#options = options;
        this.#store = store;
        this.#link = link;
    }

    /** Publications that have no answer yet. */
    get pending() {
        return this.#publications.size;
    }

    /** How many more there is room for. */
    get room() {
        return Math.max(0, this.#options.maxPending - this.pending);
    }

    /**
     * Takes a publication in, and resolves as publish() does. Throws when there is no room, or an event cannot be
     * encoded. `isRepeatable`: the events have ids, so that sending them twice stores them once.
     */
    add(stream, events, ack, isRepeatable) {
        const { codec } = this.#options;
        const record = { encoding: codec.name, stream, ack, isRepeatable, pieces: encodeAll(events, codec) };
        const publication = this.#make(record, this.#nextTurn);
        this.#refuseWhenFull(publication);
        this.#nextTurn++;
        const settled = new Promise((resolve, reject) => Object.assign(publication, { resolve, reject }));
        this.#enter(publication);
        if (this.#store && ack !== "none") {
            publication.stored = record;
            this.#store.put(record);
        }
        this.flush();
        return settled;
    }

    /** Takes in what a store has kept: before everything that was published here when `isOlder`. */
    restore(records, isOlder) {
        records.forEach((record, place) => {
            try {
                const from = CODECS[record.encoding];
                const pieces = record.pieces.map((piece) => recode(piece, from, this.#options.codec));
                const publication = this.#make({ ...record, pieces },
                    isOlder ? place - records.length : this.#nextTurn++);
                publication.stored = record;
                this.#enter(publication);
            } catch (error) {
                this.#link.fail(new PenstockError({ code: "malformed", message: "an event that was kept stays in the " +
                    `outbox until a client with encoding "${record.encoding}" sends it: ${error.message}` }));
            }
        });
        this.#waiting.sort(byTurn);
        this.flush();
    }

    /** Sends what may be sent now. */
    flush() {
        while (this.#waiting.length > 0 && this.#inFlight.size < this.#options.maxInFlight) {
            const limits = this.#link.limits();
            if (!limits || this.#hold.timer !== null) {
                return;
            }
            const message = this.#waiting.shift();
            if (this.#fits(message, limits)) {
                this.#send(message);
            } else {
                this.#cut(message, limits);
            }
        }
    }

    /** An `ack` has come; false when it is none of ours. */
    acked(answer) {
        const message = this.#inFlight.get(answer.id);
        if (message) {
            this.#hold.count = 0;
            message.publication.acks.push(answer);
            this.#end(message);
            this.flush();
        }
        return message !== undefined;
    }

    /** An `error` has come; false when it is none of ours. */
    refused(answer) {
        const message = this.#inFlight.get(answer.id);
        if (!message) {
            return false;
        }
        const { publication } = message;
        const placed = answer.index === undefined ? answer : { ...answer, index: answer.index + message.first };
        if (isPassing(answer.code) || (answer.code === "unauthorized" && this.#link.refresh())) {
            this.#holdBack(message, answer);
        } else if (answer.code === "rejected_by_database") {
            publication.rejected.push(placed); // of the message's events only some; its `ack` is still to come
        } else {
            publication.refusals.push(new PenstockError(placed));
            this.#end(message);
            this.flush();
        }
        return true;
    }

    /** The session is gone: what has no answer waits again, in its old place. */
    lost() {
        for (const message of this.#inFlight.values()) {
            const { publication } = message;
            // Said of the message, and said again when it is sent again.
            publication.rejected = publication.rejected.filter(({ id }) => id !== message.id);
            this.#waiting.push(message);
        }
        this.#inFlight.clear();
        this.#waiting.sort(byTurn);
    }

    /** What may be sent by another way as well: messages {stream, pieces} whose events have ids, in order. */
    unanswered() {
        return [...this.#inFlight.values(), ...this.#waiting]
            .filter(({ publication }) => publication.isRepeatable)
            .sort(byTurn);
    }

    /** Rejects everything that has no answer with `error`. What a store has it keeps, for the next page. */
    close(error) {
        clearTimeout(this.#hold.timer);
        this.#waiting = [];
        this.#inFlight.clear();
        for (const { reject } of this.#publications) {
            reject?.(error);
        }
        this.#publications.clear();
        this.#bytes = 0;
    }

    // ---- publications -----------------------------------------------------------------------

    #make({ stream, ack, isRepeatable, pieces }, turn) {
        const { codec } = this.#options;
        const bytes = pieces.reduce((sum, piece) => sum + codec.size(piece) + 1, HEAD_BYTES + 3 * stream.length);
        return { turn, stream, ack, isRepeatable, pieces, bytes, open: 1, acks: [], refusals: [], rejected: [] };
    }

    #refuseWhenFull({ bytes }) {
        const { maxPending, maxPendingBytes } = this.#options;
        if (this.pending >= maxPending || this.#bytes + bytes > maxPendingBytes) {
            throw new PenstockError({ code: "overloaded", message:
                `the outbox is full: ${this.pending} messages with ${this.#bytes} bytes wait for their answer, and ` +
                `this one has ${bytes}; at most ${maxPending} messages and ${maxPendingBytes} bytes may wait` });
        }
    }

    #enter(publication) {
        const { stream, pieces, bytes } = publication;
        this.#publications.add(publication);
        this.#bytes += bytes;
        this.#waiting.push({ id: null, publication, first: 0, stream, pieces, bytes });
    }

    #end(message) {
        this.#inFlight.delete(message.id);
        const { publication } = message;
        publication.open--;
        if (publication.open > 0) {
            return;
        }
        this.#publications.delete(publication);
        this.#bytes -= publication.bytes;
        if (publication.stored) {
            this.#store.remove(publication.stored);
        }
        this.#settle(publication);
    }

    #settle({ acks, refusals, rejected, stored, resolve, reject }) {
        const ack = sumOf(acks);
        if (refusals.length === 0 && rejected.length === 0) {
            resolve?.(ack);
            return;
        }
        const error = refusals[0] ?? new PenstockError(rejected[0]);
        if (ack) {
            error.ack = ack; // some events are stored
        }
        if (rejected.length > 0) {
            error.rejected = rejected;
        }
        if (reject) {
            reject(error);
        } else {
            error.stream = stored.stream;
            this.#link.fail(error);
        }
    }

    // ---- messages ---------------------------------------------------------------------------

    #fits({ bytes, pieces }, limits) {
        return bytes <= (limits.message_bytes ?? Infinity) && pieces.length <= (limits.events ?? Infinity);
    }

    #send(message) {
        const { stream, ack } = message.publication;
        message.id ??= this.#link.nextId();
        this.#link.send(this.#options.codec.join({ op: "publish", id: message.id, stream, ack }, message.pieces));
        if (ack === "none") {
            this.#end(message);
        } else {
            this.#inFlight.set(message.id, message);
        }
    }

    /** Puts several messages in the place of one. An event that is too large alone refuses it: sent anyway, it
     * would close the session, and again after every reconnect. */
    #cut(message, limits) {
        const { publication, stream } = message;
        const head = HEAD_BYTES + 3 * stream.length;
        const parts = [];
        let part = null;
        for (const [place, piece] of message.pieces.entries()) {
            const size = this.#options.codec.size(piece) + 1;
            if (head + size > limits.message_bytes) {
                publication.refusals.push(new PenstockError({ code: "too_large", index: message.first + place,
                    message: `the event has ${size} bytes; the server takes messages of ${limits.message_bytes}` }));
                this.#end(message);
                return;
            }
            if (!part || part.bytes + size > limits.message_bytes || part.pieces.length === limits.events) {
                part = { id: null, publication, first: message.first + place, stream, pieces: [], bytes: head };
                parts.push(part);
            }
            part.pieces.push(piece);
            part.bytes += size;
        }
        publication.open += parts.length - 1;
        this.#waiting.unshift(...parts);
    }

    /** The server is busy: this message, and all that have not been sent, wait as long as it asks. */
    #holdBack(message, answer) {
        this.#inFlight.delete(message.id);
        this.#waiting.push(message);
        this.#waiting.sort(byTurn);
        const until = Date.now() + pauseOf(answer, this.#hold.count++);
        if (until > this.#hold.until || this.#hold.timer === null) {
            clearTimeout(this.#hold.timer);
            this.#hold.until = until;
            this.#hold.timer = setTimeout(() => {
                this.#hold.timer = null;
                this.flush();
            }, until - Date.now());
        }
        if (TROUBLE.has(answer.code)) {
            this.#link.fail(new PenstockError(answer));
        }
    }
}

function byTurn(a, b) {
    return a.publication.turn - b.publication.turn || a.first - b.first;
}

function encodeAll(events, codec) {
    return events.map((event, index) => {
        if (typeof event !== "object" || event === null) {
            throw new PenstockError({ code: "malformed", index, message: `an event is an object, not ${event}` });
        }
        try {
            return codec.encode(event);
        } catch (error) {
            throw new PenstockError({ code: "malformed", index, message: error.message });
        }
    });
}

/** The answers to the parts of a publication, as one; null when there is none. */
function sumOf(acks) {
    const [first = null] = acks;
    if (acks.length <= 1) {
        return first;
    }
    const offsets = acks.map(({ offset }) => offset).filter((offset) => offset !== undefined);
    return {
        ...first,
        level: acks.every(({ level }) => level === first.level) ? first.level : "durable",
        count: acks.reduce((sum, { count }) => sum + count, 0),
        duplicates: acks.reduce((sum, { duplicates }) => sum + duplicates, 0),
        ...(offsets.length > 0 && { offset: Math.min(...offsets) }),
    };
}
