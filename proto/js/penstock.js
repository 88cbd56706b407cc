/*
 * penstock.js - the browser client of penstock.v1: publish until acknowledged, subscribe until closed.
 *
 * Life of a publish:
 *   1. publish() gives every event an id (UUIDv7), so that sending it again stores it once, and
 *      encodes the message; it waits in `waiting`, in order;
 *   2. with a session open, at most `maxInFlight` messages move to `inFlight` and onto the socket;
 *   3. `ack` resolves the promise, `error` rejects it. "Try again later" errors and a lost connection
 *      move messages back to `waiting`, in their old order: nothing is forgotten before its answer.
 *
 * Life of a subscription: `subscribe` is sent whenever a session opens, with the offset of the last
 * event that was handed out, so that a new session continues where the old one ended. What the server
 * no longer has is reported as a gap. An iterator that is not read does not grow: past its limit the
 * client unsubscribes, and resumes by offset when the reader has caught up.
 *
 * No dependencies. Runs in browsers, and in Node 18 and newer with a WebSocket constructor passed in.
 */

import { decodeMsgpack, encodeMsgpack } from "./msgpack.js";

const SUBPROTOCOLS = { json: "penstock.v1.json", msgpack: "penstock.v1.msgpack" };
const RETRYABLE = new Set(["overloaded", "rate_limited", "unavailable"]);
const STEADY_MS = 5000; // a session that lasted so long resets the back-off
const REFRESH_MS = 60000; // a token is refreshed so long before it expires, or when a fifth of its time is left
const REFRESH_AGAIN_MS = 5000; // when the function that gives tokens has failed
const REFRESH_MS_LEAST = 1000;
const TIMER_MS_MAX = 2 ** 31 - 1;

const DEFAULTS = {
    encoding: "json",
    producer: undefined, // drawn per client; name one to keep publish order across page loads
    token: undefined, // a string, or a function that returns one (or a promise of one): per connection, and to refresh
    idField: "id", // the stream's uuid primary key; null: events get no id
    maxPending: 10000, // messages waiting for their answer
    maxInFlight: 128, // of these, sent
    maxPendingBytes: 32 << 20,
    backoff: { min: 250, max: 30000 },
    pongTimeout: 10000, // ms that a silent server has to answer a ping
    WebSocket: undefined,
};

/** An answer of the server (or of this client) that says no. `code` is a word of the protocol. */
export class PenstockError extends Error {
    constructor({ code, message, id, index, field, retry_after_ms: retryAfter }) {
        super(message ?? code);
        this.name = "PenstockError";
        Object.assign(this, { code, id, index, field, retryAfter });
    }
}

/** Connects, and keeps connected until close(). Returns at once; see `opened`. */
export function connect(url, options = {}) {
    return new Penstock(url, options);
}

class Penstock {
    #url;
    #options;
    #listeners = { state: new Set(), error: new Set(), gap: new Set() };
    #socket = null;
    #state = "connecting";
    #attempt = 0;
    #openedAt = 0;
    #heardAt = 0;
    #token = undefined; // of this connection; sent when the server has said `welcome`
    #authId = null; // of the `auth` that waits for its answer
    #timers = { retry: null, heartbeat: null, hold: null, refresh: null };
    #nextId = 1;
    #waiting = new Map(); // id -> entry, in the order of publish()
    #inFlight = new Map();
    #pendingBytes = 0;
    #channels = new Map(); // channel -> Subscription
    #requests = new Map(); // id of a subscribe -> Subscription
    #questions = new Map(); // id of a broadcast or presence -> {resolve, reject}
    #openedPromise;
    #resolveOpened;
    #onOnline = () => this.#state === "waiting" && this.#dial();

    constructor(url, options) {
        this.#options = { ...DEFAULTS, producer: uuidv7(), ...options };
        this.#options.backoff = { ...DEFAULTS.backoff, ...options.backoff };
        if (!(this.#options.encoding in SUBPROTOCOLS)) {
            throw new TypeError(`encoding must be "json" or "msgpack", not ${this.#options.encoding}`);
        }
        this.#url = socketUrl(url);
        this.welcome = null;
        this.#openedPromise = new Promise((resolve) => (this.#resolveOpened = resolve));
        globalThis.addEventListener?.("online", this.#onOnline);
        this.#dial();
    }

    /** "connecting", "open", "waiting" (for the next attempt) or "closed". */
    get state() {
        return this.#state;
    }

    /** Messages published and not answered yet. */
    get pending() {
        return this.#waiting.size + this.#inFlight.size;
    }

    /** A promise of the first `welcome`. */
    get opened() {
        return this.#openedPromise;
    }

    /** Calls `listener` for every "state", "error" or "gap"; returns what undoes it. */
    on(event, listener) {
        const listeners = this.#listeners[event];
        if (!listeners) {
            throw new TypeError(`there is no event "${event}": state, error or gap`);
        }
        listeners.add(listener);
        return () => listeners.delete(listener);
    }

    /** Publishes one event or an array of them; resolves with the `ack`. */
    publish(stream, events, { ack = "durable", idField = this.#options.idField } = {}) {
        if (this.#state === "closed") {
            return Promise.reject(closedError());
        }
        const list = (Array.isArray(events) ? events : [events]).map((event) =>
            idField === null || event[idField] !== undefined ? event : { [idField]: uuidv7(), ...event });
        const id = this.#nextId++;
        let frame;
        try {
            frame = this.#encode({ op: "publish", id, stream, ack, events: list });
        } catch (error) {
            return Promise.reject(new PenstockError({ code: "malformed", message: error.message }));
        }
        const entry = { id, frame, bytes: frame.byteLength ?? frame.length, ack };
        if (this.pending >= this.#options.maxPending ||
            this.#pendingBytes + entry.bytes > this.#options.maxPendingBytes) {
            return Promise.reject(new PenstockError({
                code: "overloaded", message: `${this.pending} messages wait for their answer already` }));
        }
        return new Promise((resolve, reject) => {
            Object.assign(entry, { resolve, reject });
            this.#waiting.set(id, entry);
            this.#pendingBytes += entry.bytes;
            this.#flush();
        });
    }

    /**
     * Listens to a channel. With `onEvent`, events go there; without, the subscription is an async
     * iterator. `since` (with `epoch`) resumes behind an offset, `last` begins with recent events.
     * With `latestOnly`, events that did not come through in time are skipped, and counted.
     * What is not stored goes to `onBroadcast`, `onJoined` and `onLeft`.
     */
    subscribe(channel, options = {}, onEvent = options.onEvent) {
        if (this.#state === "closed") {
            throw closedError();
        }
        if (this.#channels.has(channel)) {
            throw new Error(`this client is subscribed to ${channel} already`);
        }
        const subscription = new Subscription(channel, options, onEvent, {
            pause: () => this.#sendOp({ op: "unsubscribe", channel }),
            resume: () => this.#sendSubscribe(subscription),
            close: () => this.#dropSubscription(subscription),
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

    /** Ends everything. What was not answered is rejected with code "closed". */
    close(code = 1000, reason = "") {
        if (this.#state === "closed") {
            return;
        }
        globalThis.removeEventListener?.("online", this.#onOnline);
        const socket = this.#socket;
        this.#forgetSession();
        socket?.close(code, reason);
        this.#setState("closed");
        for (const entry of [...this.#inFlight.values(), ...this.#waiting.values()]) {
            entry.reject(closedError());
        }
        this.#inFlight.clear();
        this.#waiting.clear();
        this.#pendingBytes = 0;
        for (const subscription of [...this.#channels.values()]) {
            subscription._end(closedError());
        }
        this.#channels.clear();
    }

    // ---- the session ------------------------------------------------------------------------

    async #dial() {
        clearTimeout(this.#timers.retry);
        this.#attempt++;
        this.#setState("connecting", { attempt: this.#attempt });
        const attempt = this.#attempt;
        try {
            const token = await this.#askToken();
            if (this.#state !== "connecting" || attempt !== this.#attempt) {
                return;
            }
            this.#token = token;
            this.#listen(this.#open());
        } catch (error) {
            this.#lost({ reason: error.message });
        }
    }

    #askToken() {
        const { token } = this.#options;
        return typeof token === "function" ? token() : token;
    }

    #open() {
        const Constructor = this.#options.WebSocket ?? globalThis.WebSocket;
        if (!Constructor) {
            throw new TypeError("there is no WebSocket here: pass one in options.WebSocket");
        }
        const url = new URL(this.#url);
        url.searchParams.set("producer", this.#options.producer);
        return new Constructor(url.href, [SUBPROTOCOLS[this.#options.encoding]]);
    }

    #listen(socket) {
        this.#socket = socket;
        socket.binaryType = "arraybuffer";
        socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
        socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lost({ code, reason });
        socket.onerror = () => {}; // `close` follows, and says no less
    }

    /** The session is gone: everything unanswered goes back to the queue, and a new one is due. */
    #lost({ code, reason } = {}) {
        if (this.#openedAt && Date.now() - this.#openedAt >= STEADY_MS) {
            this.#attempt = 0;
        }
        this.#forgetSession();
        this.#waiting = new Map([...this.#inFlight, ...this.#waiting].sort(([a], [b]) => a - b));
        this.#inFlight.clear();
        const { min, max } = this.#options.backoff;
        const ceiling = Math.min(max, min * 2 ** Math.min(this.#attempt, 20));
        const delay = Math.round(ceiling / 2 + (Math.random() * ceiling) / 2);
        this.#timers.retry = setTimeout(() => this.#dial(), delay);
        this.#setState("waiting", { attempt: this.#attempt, delay, code, reason });
    }

    #forgetSession() {
        Object.values(this.#timers).forEach(clearTimeout);
        this.#timers.hold = null;
        this.#socket = null;
        this.welcome = null;
        this.#openedAt = 0;
        this.#authId = null;
        this.#requests.clear();
        for (const question of this.#questions.values()) {
            question.reject(notConnectedError());
        }
        this.#questions.clear();
    }

    // ---- who we are -------------------------------------------------------------------------

    /** The token goes in a message: addresses end up in logs. Nothing else is said before the answer. */
    #authenticate(token) {
        this.#authId = this.#nextId++;
        this.#socket.send(this.#encode({ op: "auth", id: this.#authId, token }));
    }

    #begin() {
        this.#setState("open", { session: this.welcome.session });
        this.#resolveOpened(this.welcome);
        for (const subscription of this.#channels.values()) {
            subscription._isPaused || this.#sendSubscribe(subscription);
        }
        this.#flush();
    }

    #authenticated({ id, expires }) {
        if (id !== this.#authId) {
            return;
        }
        this.#authId = null;
        if (this.#state !== "open") {
            this.#begin();
        }
        const left = expires * 1000 - Date.now();
        this.#refreshIn(Math.max(left - REFRESH_MS, left * 0.8));
    }

    #refreshIn(delay) {
        if (typeof this.#options.token === "function" && this.#socket) {
            clearTimeout(this.#timers.refresh);
            this.#timers.refresh = setTimeout(() => this.#refresh(), Math.min(Math.max(delay, REFRESH_MS_LEAST), TIMER_MS_MAX));
        }
    }

    async #refresh() {
        const socket = this.#socket;
        try {
            const token = await this.#askToken();
            if (socket === this.#socket && this.#state === "open") {
                this.#authenticate(token);
            }
        } catch (error) {
            if (socket === this.#socket) {
                this.#emit("error", new PenstockError({ code: "unauthorized", message: error.message }));
                this.#refreshIn(REFRESH_AGAIN_MS);
            }
        }
    }

    /** A server that asks for no tokens says `unsupported`. A refused refresh leaves the session as it was. */
    #authRefused(message) {
        this.#authId = null;
        if (message.code === "unsupported") {
            this.#state === "open" || this.#begin();
            return;
        }
        this.#emit("error", new PenstockError(message));
        if (this.#state !== "open") {
            const socket = this.#socket;
            this.#lost({ reason: message.message });
            socket.close(4001, "the token was refused");
        }
    }

    #setState(state, details = {}) {
        this.#state = state;
        this.#emit("state", { state, ...details });
    }

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

    /** Browsers answer the server's pings unseen, so a dead connection is found by one of ours. */
    #watch() {
        const period = Math.max(1, this.welcome.heartbeat_s ?? 30) * 1000;
        const limit = period + this.#options.pongTimeout;
        const check = () => {
            const silence = Date.now() - this.#heardAt;
            if (silence >= limit) {
                const socket = this.#socket;
                this.#lost({ reason: "the server is silent" });
                socket.close(4000, "silent");
                return;
            }
            if (silence >= period) {
                this.#sendOp({ op: "ping" });
            }
            const next = silence >= period ? limit - silence : period - silence;
            this.#timers.heartbeat = setTimeout(check, Math.max(next, 50));
        };
        this.#timers.heartbeat = setTimeout(check, period);
    }

    // ---- sending ----------------------------------------------------------------------------

    #encode(message) {
        return this.#options.encoding === "json" ? JSON.stringify(message) : encodeMsgpack(message);
    }

    #sendOp(message) {
        if (this.#state === "open" || message.op === "ping") {
            this.#socket.send(this.#encode(message));
        }
    }

    #flush() {
        const { maxInFlight } = this.#options;
        if (this.#state !== "open" || this.#timers.hold !== null) {
            return;
        }
        for (const [id, entry] of this.#waiting) {
            if (this.#inFlight.size >= maxInFlight) {
                return;
            }
            this.#waiting.delete(id);
            const most = this.welcome.limits?.message_bytes ?? Infinity;
            if (entry.bytes > most) {
                // Sent anyway, it would close the session, and again after every reconnect.
                this.#settle(entry).reject(new PenstockError({
                    code: "too_large", message: `${entry.bytes} bytes; the server takes ${most}` }));
                continue;
            }
            this.#socket.send(entry.frame);
            if (entry.ack === "none") {
                this.#settle(entry).resolve(null);
            } else {
                this.#inFlight.set(id, entry);
            }
        }
    }

    #settle(entry) {
        this.#inFlight.delete(entry.id);
        this.#waiting.delete(entry.id);
        this.#pendingBytes -= entry.bytes;
        return entry;
    }

    /** The server is busy: this message, and all that have not been sent, wait a while. */
    #holdBack(entry, message) {
        this.#inFlight.delete(entry.id);
        this.#waiting = new Map([[entry.id, entry], ...this.#waiting].sort(([a], [b]) => a - b));
        clearTimeout(this.#timers.hold);
        const delay = (message.retry_after_ms ?? 1000) * (1 + Math.random() / 4);
        this.#timers.hold = setTimeout(() => {
            this.#timers.hold = null;
            this.#flush();
        }, delay);
    }

    /** Sends a message that is not repeated; resolves with its answer. */
    #ask(message) {
        if (this.#state !== "open") {
            return Promise.reject(this.#state === "closed" ? closedError() : notConnectedError());
        }
        const id = this.#nextId++;
        let frame;
        try {
            frame = this.#encode({ op: message.op, id, ...message });
        } catch (error) {
            return Promise.reject(new PenstockError({ code: "malformed", message: error.message }));
        }
        return new Promise((resolve, reject) => {
            this.#questions.set(id, { resolve, reject });
            this.#socket.send(frame);
        });
    }

    /** Settles the question that this message answers; undefined: it answers none. */
    #answer(message, how) {
        const question = this.#questions.get(message.id);
        this.#questions.delete(message.id);
        question?.[how](how === "reject" ? new PenstockError(message) : message);
        return question;
    }

    #sendSubscribe(subscription) {
        if (this.#state !== "open") {
            return;
        }
        const id = this.#nextId++;
        this.#requests.set(id, subscription);
        this.#sendOp({ op: "subscribe", id, channel: subscription.channel, ...subscription._position() });
    }

    #dropSubscription(subscription) {
        this.#channels.delete(subscription.channel);
        this.#sendOp({ op: "unsubscribe", channel: subscription.channel });
    }

    // ---- receiving --------------------------------------------------------------------------

    #receive(data) {
        this.#heardAt = Date.now();
        let message;
        try {
            message = typeof data === "string" ? JSON.parse(data) : decodeMsgpack(new Uint8Array(data));
        } catch (error) {
            this.#emit("error", new PenstockError({ code: "malformed", message: error.message }));
            return;
        }
        this.#handlers[message.op]?.(message);
    }

    #handlers = {
        welcome: (message) => {
            this.welcome = message;
            this.#openedAt = Date.now();
            this.#watch();
            this.#token ? this.#authenticate(this.#token) : this.#begin();
        },
        authenticated: (message) => this.#authenticated(message),
        ack: (message) => {
            if (this.#answer(message, "resolve")) {
                return;
            }
            const entry = this.#inFlight.get(message.id);
            if (!entry) {
                return;
            }
            this.#settle(entry);
            if (entry.rejected) {
                const { rejected } = entry;
                entry.reject(Object.assign(new PenstockError(rejected[0]), { rejected, ack: message }));
            } else {
                entry.resolve(message);
            }
            this.#flush();
        },
        error: (message) => {
            if (this.#authId !== null && message.id === this.#authId) {
                this.#authRefused(message);
                return;
            }
            if (this.#answer(message, "reject")) {
                return;
            }
            const entry = this.#inFlight.get(message.id);
            if (entry && RETRYABLE.has(message.code)) {
                this.#holdBack(entry, message);
                return;
            }
            const error = new PenstockError(message);
            if (message.code === "rejected_by_database") {
                // Only some events of the message are meant. With `committed` its `ack` is still to come; with
                // `durable` it has come, and this is all that says so.
                entry ? (entry.rejected ??= []).push(message) : this.#emit("error", error);
                return;
            }
            const subscription = this.#requests.get(message.id);
            if (entry) {
                this.#settle(entry).reject(error);
                this.#flush();
            } else if (subscription) {
                this.#requests.delete(message.id);
                this.#channels.delete(subscription.channel);
                subscription._end(error);
            } else {
                this.#emit("error", error);
            }
        },
        subscribed: (message) => {
            const subscription = this.#requests.get(message.id);
            this.#requests.delete(message.id);
            if (subscription?._subscribed(message) === false) {
                this.#gap(subscription, { channel: message.channel, reason: message.reason });
            }
        },
        presence: (message) => this.#answer(message, "resolve"),
        broadcast: ({ channel, session, data }) => this.#tell(channel, "onBroadcast", data, session),
        joined: ({ channel, member }) => this.#tell(channel, "onJoined", member),
        left: ({ channel, member }) => this.#tell(channel, "onLeft", member),
        unsubscribed: ({ channel, reason }) => {
            const subscription = this.#channels.get(channel);
            if (subscription && reason !== undefined) { // not ours: a refreshed token does not allow it any more
                this.#channels.delete(channel);
                subscription._end(new PenstockError({ code: "forbidden", message: reason }));
            }
        },
        events: (message) => this.#channels.get(message.channel)?._events(message.events, message.skipped),
        gap: (message) => {
            const subscription = this.#channels.get(message.channel);
            if (subscription) {
                subscription._passed(message.to);
                this.#gap(subscription, { channel: message.channel, from: message.from, to: message.to });
            }
        },
    };

    #tell(channel, callback, ...values) {
        try {
            this.#channels.get(channel)?._options[callback]?.(...values);
        } catch (error) {
            setTimeout(() => { throw error; });
        }
    }

    #gap(subscription, gap) {
        this.#emit("gap", gap);
        subscription._options.onGap?.(gap);
    }
}

class Subscription {
    #client;
    #onEvent;
    #queue = [];
    #reader = null; // resolve of a next() that waits
    #ended = null;
    #settleReady;

    constructor(channel, options, onEvent, client) {
        this.channel = channel;
        this.offset = null; // of the last event handed out (or, so far, where we began)
        this.epoch = options.epoch ?? null;
        this.skipped = 0;
        this._options = options;
        this._isPaused = false;
        this.#client = client;
        this.#onEvent = onEvent;
        /** A promise of the first `subscribed`: {offset, epoch, recovered, reason}. */
        this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
        this.ready.catch(() => {}); // whoever awaits it hears of it; nobody has to
    }

    /** Stops listening; an iterator ends. */
    close() {
        if (!this.#ended) {
            this.#client.close();
            this._end(null);
        }
    }

    [Symbol.asyncIterator]() {
        if (this.#onEvent) {
            throw new Error("the events of this subscription go to its callback");
        }
        return { next: () => this.#next(), return: () => this.#return() };
    }

    #next() {
        if (this.#queue.length > 0) {
            const value = this.#queue.shift();
            if (this._isPaused && this.#queue.length === 0) {
                this._isPaused = false;
                this.#client.resume();
            }
            return Promise.resolve({ value, done: false });
        }
        if (this.#ended) {
            const { error } = this.#ended;
            return error && error.code !== "closed" ? Promise.reject(error)
                : Promise.resolve({ value: undefined, done: true });
        }
        return new Promise((resolve, reject) => (this.#reader = { resolve, reject }));
    }

    #return() {
        this.close();
        return Promise.resolve({ value: undefined, done: true });
    }

    // ---- called by the client ---------------------------------------------------------------

    /** What a `subscribe` must say for the server to continue where we are. */
    _position() {
        const { since, epoch, last, latestOnly } = this._options;
        const position = this.offset !== null ? { since: this.offset, epoch: this.epoch }
            : since !== undefined ? { since, epoch } : last !== undefined ? { last } : {};
        return latestOnly ? { ...position, latest_only: true } : position;
    }

    /** False when events were missed. */
    _subscribed({ offset, epoch, recovered, reason }) {
        this.offset = offset;
        this.epoch = epoch;
        this.#settleReady.resolve({ offset, epoch, recovered, reason });
        return recovered;
    }

    _passed(offset) {
        this.offset = Math.max(this.offset, offset);
    }

    _events(events, skipped = 0) {
        if (skipped > 0 && !this._isPaused && !this.#ended) {
            this.skipped += skipped;
            this._options.onSkip?.(skipped);
        }
        for (const event of events) {
            if (this._isPaused || this.#ended || event.offset <= this.offset) {
                continue; // on its way before the server heard of the pause; it will come again
            }
            this.offset = event.offset;
            this.#deliver(event);
        }
    }

    #deliver(event) {
        if (this.#onEvent) {
            this.#onEvent(event);
        } else if (this.#reader) {
            const { resolve } = this.#reader;
            this.#reader = null;
            resolve({ value: event, done: false });
        } else if (this.#queue.push(event) >= (this._options.buffer ?? 1000)) {
            this._isPaused = true;
            this.#client.pause();
        }
    }

    _end(error) {
        this.#ended = { error };
        this.#settleReady.reject(error ?? closedError());
        if (this.#reader) {
            const { resolve, reject } = this.#reader;
            this.#reader = null;
            error && error.code !== "closed" ? reject(error) : resolve({ value: undefined, done: true });
        }
    }
}

function closedError() {
    return new PenstockError({ code: "closed", message: "the client is closed" });
}

function notConnectedError() {
    return new PenstockError({ code: "not_connected", message: "there is no session, or it was lost" });
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

// ---- UUIDv7 -----------------------------------------------------------------------------------

let lastMs = 0;
let counter = 0;

/** RFC 9562: milliseconds, then a counter (method 1 of section 6.2), then random bits: ids ascend. */
export function uuidv7(now = Date.now()) {
    const bytes = randomBytes(16);
    if (now > lastMs) {
        lastMs = now;
        counter = ((bytes[6] & 0x07) << 8) | bytes[7]; // the upper half stays free to count in
    } else if (++counter > 0xfff) {
        lastMs++;
        counter = 0;
    }
    for (let i = 0, rest = lastMs; i < 6; i++, rest = Math.floor(rest / 256)) {
        bytes[5 - i] = rest % 256;
    }
    bytes[6] = 0x70 | (counter >> 8);
    bytes[7] = counter & 0xff;
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Ids are no secrets: where there is no crypto (Node 18), Math.random serves. */
function randomBytes(count) {
    const bytes = new Uint8Array(count);
    return globalThis.crypto?.getRandomValues?.(bytes) ?? bytes.map(() => Math.random() * 256);
}
