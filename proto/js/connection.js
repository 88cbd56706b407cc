/*
 * connection.js - one session after another: dials, proves who it is, notices silence, dials again.
 *
 *   connecting ── welcome, and `authenticated` where there is a token ──► open
 *       ▲  └────────── refused, silent, closed ──────────┐                 │
 *       └────────────── the back-off is over ──────── waiting ◄────────────┘     close(): closed, from everywhere
 *
 * A server that closes because it does not understand what we say would do so again, after every reconnect: that is
 * told to the client, which closes.
 * Whatever else a session says is handed up as it comes; this file knows no events and no channels.
 */
import { misunderstoodError, PenstockError } from "./error.js";

const STEADY_MS = 5000; // a session that lasted so long resets the back-off
const REFRESH_MS = 60000; // a token is refreshed so long before it expires, or when a fifth of its time is left
const REFRESH_AGAIN_MS = 5000; // when the function that gives tokens has failed
const REFRESH_MS_LEAST = 1000;
const REFRESHED_MS_LEAST = 30000; // after a refresh; a clock that is ahead finds every token about to expire
const TIMER_MS_MAX = 2 ** 31 - 1;
const MISUNDERSTOOD = new Set([1002, 1003, 1007, 1010]); // RFC 6455 section 7.4.1

export class Connection {
    #url;
    #options; // codec, token, backoff, openTimeout, pongTimeout, WebSocket
    #up; // the client: state(change), error(error), begin(), lost(), stop(error), receive(message)
    #producer = null;
    #socket = null;
    #state = "connecting";
    #attempt = 0;
    #openedAt = 0;
    #heardAt = 0;
    #pingedAt = 0; // 0: something was heard since
    #token = undefined; // of this connection; sent when the server has said `welcome`
    #authId = null; // of the `auth` that waits for its answer
    #dials = 0;
    #refreshing = null; // the refresh that waits for its token
    #timers = { retry: null, open: null, heartbeat: null, refresh: null };
    #lastId = 0;

    constructor(url, options, up) {
        this.#url = url;
        this.#options = options;
        this.#up = up;
        this.welcome = null;
    }

    /** "connecting", "open", "waiting" (for the next attempt) or "closed". */
    get state() {
        return this.#state;
    }

    /** The one that was shown last: what may be shown to the server by other ways. */
    get token() {
        return this.#token;
    }

    /** An id that no message of this client has. */
    nextId() {
        return ++this.#lastId;
    }

    /** Dials for the first time, and from then on whenever there is no session. */
    start(producer) {
        this.#producer = producer;
        if (this.#state !== "closed") {
            this.#dial();
        }
    }

    /** Dials at once when the next attempt is only waited for: the network is back, or somebody looks again. */
    wake() {
        if (this.#state === "waiting") {
            this.#dial();
        }
    }

    /** Sends a message, if a session is open. */
    send(message) {
        this.sendFrame(this.#options.codec.encode(message));
    }

    sendFrame(frame) {
        if (this.#state === "open") {
            this.#socket.send(frame);
        }
    }

    /** Asks for a fresh token now; false when there is nobody to ask. */
    refresh() {
        if (typeof this.#options.token !== "function") {
            return false;
        }
        this.#refresh();
        return true;
    }

    /** Ends everything, for good. */
    close(code, reason) {
        const socket = this.#socket;
        this.#forget();
        this.#change("closed");
        hangUp(socket, code, reason);
    }

    // ---- the session ------------------------------------------------------------------------

    async #dial() {
        clearTimeout(this.#timers.retry);
        const dial = ++this.#dials;
        const isOver = () => this.#state !== "connecting" || dial !== this.#dials;
        this.#timers.open = setTimeout(() => this.#leave("no session within openTimeout"), this.#options.openTimeout);
        this.#change("connecting", { attempt: ++this.#attempt });
        try {
            const token = await this.#askToken();
            if (isOver()) {
                return;
            }
            this.#token = token;
            this.#listen(this.#open());
        } catch (error) {
            if (!isOver()) {
                this.#lost({ reason: error?.message }); // whatever the function of a page rejects with
            }
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
        url.searchParams.set("producer", this.#producer);
        return new Constructor(url.href, [this.#options.codec.subprotocol]);
    }

    #listen(socket) {
        this.#socket = socket;
        socket.binaryType = "arraybuffer";
        socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
        socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
        socket.onerror = () => {}; // `close` follows, and says no less
    }

    #closed(code, reason) {
        if (MISUNDERSTOOD.has(code)) {
            this.#up.stop(misunderstoodError(code, reason));
        } else {
            this.#lost({ code, reason });
        }
    }

    /** Gives this connection up, whatever its socket thinks of it. */
    #leave(reason, code = 4000) {
        if (this.#state === "closed") {
            return;
        }
        const socket = this.#socket;
        this.#lost({ reason });
        hangUp(socket, code, reason);
    }

    #lost({ code, reason } = {}) {
        if (this.#state === "closed") {
            return;
        }
        if (this.#openedAt && Date.now() - this.#openedAt >= STEADY_MS) {
            this.#attempt = 0;
        }
        this.#forget();
        this.#up.lost();
        const { min, max } = this.#options.backoff;
        const ceiling = Math.min(max, min * 2 ** Math.min(this.#attempt, 20));
        const delay = Math.round(ceiling / 2 + (Math.random() * ceiling) / 2);
        this.#timers.retry = setTimeout(() => this.#dial(), delay);
        this.#change("waiting", { attempt: this.#attempt, delay, code, reason });
    }

    #forget() {
        Object.values(this.#timers).forEach(clearTimeout);
        this.#socket = null;
        this.welcome = null;
        this.#openedAt = 0;
        this.#pingedAt = 0;
        this.#authId = null;
        this.#refreshing = null;
    }

    #begin() {
        clearTimeout(this.#timers.open);
        this.#state = "open";
        this.#up.begin(); // before the listeners: what they ask for belongs to this session
        if (this.#state === "open") {
            this.#change("open", { session: this.welcome.session });
        }
    }

    #change(state, details = {}) {
        this.#state = state;
        this.#up.state({ state, ...details });
    }

    #receive(data) {
        this.#heardAt = Date.now();
        this.#pingedAt = 0;
        let message;
        try {
            message = this.#options.codec.decode(data);
        } catch (error) {
            this.#up.error(new PenstockError({ code: "malformed", message: error.message }));
            return;
        }
        if (message.op === "welcome") {
            this.#welcomed(message);
        } else if (message.op === "authenticated") {
            this.#authenticated(message);
        } else if (message.op === "error" && this.#authId !== null && message.id === this.#authId) {
            this.#authRefused(message);
        } else {
            this.#up.receive(message);
        }
    }

    #welcomed(welcome) {
        this.welcome = welcome;
        this.#openedAt = Date.now();
        this.#watch();
        this.#token ? this.#authenticate(this.#token) : this.#begin();
    }

    /**
     * Browsers answer the server's pings unseen, so a dead connection is found by one of ours. Only a ping without an
     * answer says that it is dead: in a page that nobody looks at, timers run once a minute, and nothing that we hear
     * has to come before.
     */
    #watch() {
        const period = Math.max(1, this.welcome.heartbeat_s ?? 30) * 1000;
        const { pongTimeout } = this.#options;
        const check = () => {
            const now = Date.now();
            this.#heardAt = Math.min(this.#heardAt, now); // a clock that is set back puts nothing off
            this.#pingedAt = Math.min(this.#pingedAt, now);
            const silence = now - this.#heardAt;
            let next = period - silence;
            if (this.#pingedAt !== 0) {
                next = this.#pingedAt + pongTimeout - now;
                if (next <= 0) {
                    this.#leave("the server is silent");
                    return;
                }
            } else if (silence >= period) {
                this.#pingedAt = now;
                this.#socket.send(this.#options.codec.encode({ op: "ping" }));
                next = pongTimeout;
            }
            this.#timers.heartbeat = setTimeout(check, Math.max(next, 50));
        };
        this.#timers.heartbeat = setTimeout(check, period);
    }

    // ---- who we are -------------------------------------------------------------------------

    /** The token goes in a message: addresses end up in logs. Nothing else is said before the answer. */
    #authenticate(token) {
        this.#authId = this.nextId();
        this.#socket.send(this.#options.codec.encode({ op: "auth", id: this.#authId, token }));
    }

    #authenticated({ id, expires }) {
        if (id !== this.#authId) {
            return;
        }
        this.#authId = null;
        const isRefreshed = this.#state === "open";
        if (!isRefreshed) {
            this.#begin();
        }
        const left = expires * 1000 - Date.now();
        this.#refreshIn(Math.max(left - REFRESH_MS, left * 0.8, isRefreshed ? REFRESHED_MS_LEAST : 0));
    }

    #refreshIn(delay) {
        if (typeof this.#options.token === "function" && this.#socket) {
            clearTimeout(this.#timers.refresh);
            const within = Math.min(Math.max(delay, REFRESH_MS_LEAST), TIMER_MS_MAX);
            this.#timers.refresh = setTimeout(() => this.#refresh(), within);
        }
    }

    async #refresh() {
        if (this.#refreshing || this.#state !== "open") {
            return;
        }
        const refresh = Symbol("refresh");
        this.#refreshing = refresh;
        const fail = (message) => refresh === this.#refreshing && this.#refreshFailed(message);
        clearTimeout(this.#timers.refresh);
        this.#timers.refresh = setTimeout(() => fail("no token within openTimeout"), this.#options.openTimeout);
        try {
            const token = await this.#askToken();
            if (refresh === this.#refreshing) {
                this.#token = token;
                this.#authenticate(token);
                this.#refreshing = null;
                clearTimeout(this.#timers.refresh);
            }
        } catch (error) {
            fail(error?.message);
        }
    }

    #refreshFailed(message = "there is no token") {
        this.#refreshing = null;
        this.#refreshIn(REFRESH_AGAIN_MS);
        this.#up.error(new PenstockError({ code: "unauthorized", message }));
    }

    /** A server that asks for no tokens says `unsupported`. A refused refresh leaves the session as it was. */
    #authRefused(message) {
        this.#authId = null;
        if (message.code === "unsupported") {
            this.#state === "open" || this.#begin();
            return;
        }
        this.#up.error(new PenstockError(message));
        if (this.#state === "closed") { // by a listener
            return;
        }
        if (this.#state === "open") {
            this.#refreshIn(REFRESH_AGAIN_MS);
        } else {
            this.#leave(message.message.slice(0, 100), 4001);
        }
    }
}

/** Closes a socket, if there is one (there is none while a token is waited for), without what it refuses to say: it
 * takes code 1000 or one from 3000 to 4999, and a reason of 123 bytes. */
function hangUp(socket, code, reason) {
    try {
        socket?.close(code, reason);
    } catch {
        socket.close();
    }
}
