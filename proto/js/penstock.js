/*
 * penstock.js - the browser client of penstock.v1: publish until acknowledged, subscribe until closed.
 *
 *   penstock.js      what a page calls, and which part each message of the server is for
 *   connection.js    one session after another: back-off, tokens, silence
 *   outbox.js        what was published and has no answer yet; store.js keeps it across page loads
 *   subscription.js  one channel: a cursor that continues where the last session ended
 *   beacon.js        the last chance of a page that hides
 *   codec.js         JSON and MessagePack (msgpack.js)
 *
 * No dependencies. Runs in browsers, and in Node 18 and newer with a WebSocket constructor passed in.
 */
import { flushByBeacon } from "./beacon.js";
import { CODECS } from "./codec.js";
import { Connection } from "./connection.js";
import { closedError, notConnectedError, PenstockError } from "./error.js";
import { isPassing, Outbox, pauseOf } from "./outbox.js";
import { openIndexedStore } from "./store.js";
import { memoryOf, Subscription } from "./subscription.js";
import { uuidv7 } from "./uuid.js";

export { PenstockError, uuidv7 };

const ADOPT_MS = 5000; // how often a store is asked for what other pages have left

const DEFAULTS = {
    encoding: "json",
    producer: undefined, // drawn per client; name one to keep publish order across page loads
    token: undefined, // a string, or a function that returns one (or a promise of one): per connection, and to refresh
    idField: "id", // the stream's uuid primary key; null: events get no id
    outbox: "memory", // or "indexeddb", or a store of one's own
    outboxName: "penstock", // of the database in IndexedDB
    maxPending: 10000, // messages waiting for their answer
    maxInFlight: 128, // of these, sent
    maxPendingBytes: 32 << 20,
    beacon: true, // when the page hides
    backoff: { min: 250, max: 30000 },
    openTimeout: 15000, // ms that an attempt has until its session is open, the wait for its token included
    pongTimeout: 10000, // ms that a silent server has to answer a ping
    WebSocket: undefined,
};

/** Connects, and keeps connected until close(). Returns at once; see `opened`. */
export function connect(url, options = {}) {
    return new Penstock(url, options);
}

class Penstock {
    #url;
    #options;
    #listeners = { state: new Set(), error: new Set(), gap: new Set() };
    #connection;
    #store;
    #outbox;
    #producer;
    #limits = {}; // of the last `welcome`
    #channels = new Map(); // channel -> Subscription
    #requests = new Map(); // id of a subscribe -> Subscription
    #questions = new Map(); // id of a broadcast or presence -> {resolve, reject}
    #handed = new Set(); // messages that a beacon has taken since the page was last seen
    #adoptTimer = null;
    #openedPromise;
    #settleOpened;
    #stopListening;

    constructor(url, options) {
        this.#options = { ...DEFAULTS, ...options, backoff: { ...DEFAULTS.backoff, ...options.backoff } };
        const { encoding, outbox, outboxName } = this.#options;
        if (!Object.hasOwn(CODECS, encoding)) {
            throw new TypeError(`encoding must be "json" or "msgpack", not ${encoding}`);
        }
        if (outbox !== "memory" && outbox !== "indexeddb" && typeof outbox?.put !== "function") {
            throw new TypeError(`outbox must be "memory", "indexeddb" or a store, not ${outbox}`);
        }
        this.#options.codec = CODECS[encoding];
        this.#url = socketUrl(url);
        this.#openedPromise = new Promise((resolve, reject) => (this.#settleOpened = { resolve, reject }));
        this.#openedPromise.catch(() => {}); // whoever awaits it hears of it; nobody has to
        this.#connection = new Connection(this.#url, this.#options, {
            state: (change) => this.#emit("state", change),
            error: (error) => this.#emit("error", error),
            begin: () => this.#begin(),
            lost: () => this.#lost(),
            stop: (error) => this.#end(error),
            receive: (message) => this.#handlers[message.op]?.(message),
        });
        this.#store = outbox === "indexeddb" ? openIndexedStore(outboxName, (error) => this.#emitSoon(error))
            : outbox === "memory" ? null : outbox;
        this.#outbox = new Outbox(this.#options, this.#store, {
            limits: () => (this.state === "open" ? this.#limits : null),
            nextId: () => this.#connection.nextId(),
            send: (frame) => this.#connection.sendFrame(frame),
            refresh: () => this.#connection.refresh(),
            fail: (error) => this.#emit("error", error),
        });
        this.#stopListening = this.#listenToPage();
        this.#start();
    }

    /** "connecting", "open", "waiting" (for the next attempt) or "closed". */
    get state() {
        return this.#connection.state;
    }

    /** What the server said of itself when the session opened; null without a session. */
    get welcome() {
        return this.#connection.welcome;
    }

    /** Messages published and not answered yet. */
    get pending() {
        return this.#outbox.pending;
    }

    /** A promise of the first `welcome`; rejects when the client is closed before it. */
    get opened() {
        return this.#openedPromise;
    }

    /** Calls `listener` for every "state", "error" or "gap"; returns what undoes it. */
    on(event, listener) {
        const listeners = Object.hasOwn(this.#listeners, event) && this.#listeners[event];
        if (!listeners) {
            throw new TypeError(`there is no event "${event}": state, error or gap`);
        }
        listeners.add(listener);
        return () => listeners.delete(listener);
    }

    /**
     * Publishes one event or an array of them; resolves with the `ack`. An array over the server's limits goes as
     * several messages, whose answers are put together; all or nothing is then true of each of them only.
     */
    async publish(stream, events, { ack = "durable", idField = this.#options.idField } = {}) {
        if (this.state === "closed") {
            throw closedError();
        }
        const list = Array.isArray(events) ? events : [events];
        const named = idField === null ? list : list.map((event) => withId(event, idField));
        return this.#outbox.add(stream, named, ack, idField !== null);
    }

    /**
     * Listens to a channel. With `onEvent`, events go there; without, the subscription is an async
     * iterator. `since` (with `epoch`) resumes behind an offset, `last` begins with recent events, and
     * `remember` (a sessionStorage or localStorage) resumes where the page before was.
     * With `latestOnly`, events that did not come through in time are skipped, and counted.
     * What is not stored goes to `onBroadcast`, `onJoined` and `onLeft`.
     */
    subscribe(channel, options = {}, onEvent = options.onEvent) {
        if (this.state === "closed") {
            throw closedError();
        }
        if (this.#channels.has(channel)) {
            throw new Error(`this client is subscribed to ${channel} already`);
        }
        const memory = options.remember ? memoryOf(options.remember, `penstock:${this.#url}:${channel}`,
            (error) => this.#emitSoon(error)) : null;
        const subscription = new Subscription(channel, options, onEvent, memory, {
            pause: () => this.#connection.send({ op: "unsubscribe", channel }),
            resume: () => this.#sendSubscribe(subscription),
            close: () => {
                this.#channels.delete(channel);
                this.#connection.send({ op: "unsubscribe", channel });
            },
            gap: (gap) => this.#emit("gap", gap),
            fail: (error) => this.#emit("error", error),
        });
        this.#channels.set(channel, subscription);
        this.#sendSubscribe(subscription);
        return subscription;
    }

    /**
     * Says something to all subscribers of a channel, without storing it; resolves when the server has it. Only
     * while the session is open: what matters only now is not kept for later.
     */
    broadcast(channel, data) {
        return this.#ask({ op: "broadcast", channel, data }).then(() => undefined);
    }

    /** Who is subscribed to a channel now, on all servers: {count, members: [{session, user, joined}]}. */
    presence(channel) {
        return this.#ask({ op: "presence", channel }).then(({ count, members }) => ({ count, members }));
    }

    /** Ends everything. What was not answered is rejected with code "closed"; an outbox in IndexedDB keeps it. */
    close(code = 1000, reason = "") {
        if (this.state !== "closed") {
            this.#finish(closedError(), code, reason);
        }
    }

    /** The server does not understand us: an "error" event says so, and everything ends with it. */
    #end(error) {
        this.#emit("error", error);
        if (this.state !== "closed") { // by a listener
            this.#finish(error, 1000, "");
        }
    }

    #finish(error, code, reason) {
        this.#stopListening();
        clearInterval(this.#adoptTimer);
        this.#forgetQuestions();
        this.#connection.close(code, reason);
        this.#outbox.close(error);
        this.#store?.close?.();
        this.#settleOpened.reject(error);
        for (const subscription of [...this.#channels.values()]) {
            subscription._end(error);
        }
        this.#channels.clear();
    }

    // ---- the life of the page ---------------------------------------------------------------

    /** The page before may have left something: that comes first, under the name it was published under. */
    async #start() {
        let kept = { records: [] };
        if (this.#store) {
            kept = await this.#fromStore(() => this.#store.open(), kept);
            if (this.state === "closed") {
                return;
            }
            this.#adoptTimer = setInterval(() => this.#adopt(), ADOPT_MS);
        }
        this.#producer = this.#options.producer ?? kept.producer ?? uuidv7();
        this.#outbox.restore(kept.records, true);
        this.#connection.start(this.#producer);
    }

    /** What other pages have left that are gone goes on from here. */
    async #adopt() {
        for (;;) {
            const records = await this.#fromStore(() => this.#store.adopt?.(this.#outbox.room), []);
            if (records.length === 0 || this.state === "closed") {
                return;
            }
            this.#outbox.restore(records, false);
        }
    }

    /** A store of somebody else's may fail: that is told, and done without. */
    async #fromStore(ask, otherwise) {
        try {
            return await ask() ?? otherwise;
        } catch (error) {
            this.#emitSoon(new PenstockError({ code: "io", message: `the outbox's store: ${error?.message}` }));
            return otherwise;
        }
    }

    #listenToPage() {
        const { document, addEventListener } = globalThis;
        if (!addEventListener) {
            return () => {};
        }
        const aborter = new AbortController();
        const { signal } = aborter;
        const seen = () => {
            this.#handed.clear();
            this.#connection.wake();
        };
        addEventListener("online", () => this.#connection.wake(), { signal });
        addEventListener("pageshow", seen, { signal });
        addEventListener("pagehide", () => this.#hide(), { signal });
        document?.addEventListener("visibilitychange",
            () => (document.visibilityState === "hidden" ? this.#hide() : seen()), { signal });
        return () => aborter.abort();
    }

    /** The page may be going: what has no answer yet is written down, and handed to the browser. */
    #hide() {
        this.#store?.flush?.();
        const messages = this.#outbox.unanswered().filter((message) => !this.#handed.has(message));
        if (!this.#options.beacon || messages.length === 0 || !globalThis.navigator?.sendBeacon) {
            return;
        }
        const post = (stream, body) => navigator.sendBeacon(this.#addressOf(stream), body);
        const taken = flushByBeacon(messages, this.#options.codec, post, {
            bytesMax: this.#limits.message_bytes,
            eventsMax: this.#limits.events,
            requestsMax: this.#store ? 1 : undefined,
        });
        taken.forEach((message) => this.#handed.add(message));
    }

    /** Where events of a stream are posted. */
    #addressOf(stream) {
        const url = new URL(this.#url);
        url.protocol = url.protocol.replace(/^ws/, "http");
        url.pathname = url.pathname.replace(/\/ws$/, `/streams/${encodeURIComponent(stream)}/events`);
        url.searchParams.set("producer", this.#producer);
        if (this.#connection.token && !url.searchParams.has("token")) {
            url.searchParams.set("token", this.#connection.token);
        }
        return url.href;
    }

    // ---- the session ------------------------------------------------------------------------

    #begin() {
        this.#limits = this.welcome.limits ?? {};
        this.#settleOpened.resolve(this.welcome);
        for (const subscription of this.#channels.values()) {
            subscription._isPaused || this.#sendSubscribe(subscription);
        }
        this.#outbox.flush();
        if (this.#store) {
            this.#adopt();
        }
    }

    #lost() {
        this.#requests.clear();
        this.#forgetQuestions();
        this.#outbox.lost();
        for (const subscription of this.#channels.values()) {
            subscription._wait();
        }
    }

    #forgetQuestions() {
        for (const question of this.#questions.values()) {
            question.reject(notConnectedError());
        }
        this.#questions.clear();
    }

    /** Sends a message that is not repeated; resolves with its answer. */
    async #ask(message) {
        if (this.state !== "open") {
            throw this.state === "closed" ? closedError() : notConnectedError();
        }
        const id = this.#connection.nextId();
        let frame;
        try {
            frame = this.#options.codec.encode({ op: message.op, id, ...message });
        } catch (error) {
            throw new PenstockError({ code: "malformed", message: error.message });
        }
        this.#refuseTooLarge(frame);
        return new Promise((resolve, reject) => {
            this.#questions.set(id, { resolve, reject });
            this.#connection.sendFrame(frame);
        });
    }

    /** The server would close the session, and with it end what others wait for. */
    #refuseTooLarge(frame) {
        const bytes = this.#options.codec.size(frame);
        const { message_bytes: bytesMax = Infinity } = this.#limits;
        if (bytes > bytesMax) {
            throw new PenstockError({ code: "too_large",
                message: `the message has ${bytes} bytes; the server takes ${bytesMax}` });
        }
    }

    /** Settles the question that this message answers; undefined: it answers none. */
    #answer(message, how) {
        const question = this.#questions.get(message.id);
        this.#questions.delete(message.id);
        question?.[how](how === "reject" ? new PenstockError(message) : message);
        return question;
    }

    #sendSubscribe(subscription) {
        subscription._wait();
        if (this.state === "open") {
            const id = this.#connection.nextId();
            const { channel } = subscription;
            this.#requests.set(id, subscription);
            this.#connection.send({ op: "subscribe", id, channel, ...subscription._position() });
        }
    }

    /** What is no fault of the channel's is asked for again; else the subscription ends. */
    #subscribeRefused(subscription, message) {
        const isOurs = () => this.#channels.get(subscription.channel) === subscription;
        const { welcome } = this;
        this.#requests.delete(message.id);
        if (!isOurs()) {
            return; // closed since
        }
        if (isPassing(message.code) || (message.code === "unauthorized" && this.#connection.refresh())) {
            setTimeout(() => isOurs() && this.welcome === welcome && this.#sendSubscribe(subscription),
                pauseOf(message));
            return;
        }
        this.#channels.delete(subscription.channel);
        subscription._refused(new PenstockError(message));
    }

    // ---- what the server says ---------------------------------------------------------------

    #handlers = {
        ack: (message) => this.#answer(message, "resolve") ?? this.#outbox.acked(message),
        error: (message) => {
            if (this.#answer(message, "reject") || this.#outbox.refused(message)) {
                return;
            }
            const subscription = this.#requests.get(message.id);
            if (subscription) {
                this.#subscribeRefused(subscription, message);
            } else if (message.id !== undefined || message.code !== "not_subscribed") {
                this.#emit("error", new PenstockError(message));
            } // else an `unsubscribe` of ours came when the server had left the channel already
        },
        subscribed: (message) => {
            const subscription = this.#requests.get(message.id);
            this.#requests.delete(message.id);
            subscription?._subscribed(message);
        },
        unsubscribed: ({ channel, reason }) => {
            const subscription = this.#channels.get(channel);
            if (subscription && reason !== undefined) { // not ours: it is not allowed any more
                this.#channels.delete(channel);
                subscription._refused(new PenstockError({ code: "forbidden", message: reason }));
            }
        },
        events: ({ channel, events, skipped }) => this.#channels.get(channel)?._events(events, skipped),
        gap: ({ channel, from, to }) => this.#channels.get(channel)?._gap({ channel, from, to }),
        position: ({ offset }) => this.#channels.forEach((subscription) => subscription._pass(offset)),
        presence: (message) => this.#answer(message, "resolve"),
        broadcast: ({ channel, session, data }) => this.#channels.get(channel)?._tell("onBroadcast", data, session),
        joined: ({ channel, member }) => this.#channels.get(channel)?._tell("onJoined", member),
        left: ({ channel, member }) => this.#channels.get(channel)?._tell("onLeft", member),
    };

    #emit(event, value) {
        for (const listener of [...this.#listeners[event]]) {
            try {
                listener(value);
            } catch (error) {
                // A listener's mistake is its own; it must not tear down the session.
                setTimeout(() => { throw error; });
            }
        }
    }

    /** For errors of calls that have not returned yet: their caller may still add its listener. */
    #emitSoon(error) {
        queueMicrotask(() => this.#emit("error", error));
    }
}

/** The event with an id; what is no object is left to the outbox to refuse. */
function withId(event, idField) {
    const needsOne = typeof event === "object" && event !== null && event[idField] === undefined;
    return needsOne ? { ...event, [idField]: uuidv7() } : event;
}

/** http(s) becomes ws(s), a bare host gets the usual path, and in a page the page's host is meant. */
function socketUrl(url) {
    const resolved = new URL(url ?? "/v1/ws", globalThis.location?.href);
    resolved.protocol = resolved.protocol.replace(/^http/, "ws");
    if (resolved.pathname === "/") {
        resolved.pathname = "/v1/ws";
    }
    return resolved.href;
}
