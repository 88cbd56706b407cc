export type AckLevel = "durable" | "committed" | "none";
export type State = "connecting" | "open" | "waiting" | "closed";

export interface Options {
    /** Default "json". MessagePack keeps integers beyond 2^53 exact (as bigint), and sends binary and dates. */
    encoding?: "json" | "msgpack";
    /** Keeps publish order across connections; drawn per client when it is not given. */
    producer?: string;
    /** Shown with `auth` on every connection. A function is asked again per connection, and before a token expires;
     *  one that takes longer than `openTimeout` is given up, and asked again. */
    token?: string | (() => string | Promise<string>);
    /** The streams' uuid primary key, filled by the client so that a resend stores once; null: not filled. */
    idField?: string | null;
    /**
     * Where what has no answer yet is kept. "memory" (default) ends with the page. "indexeddb" outlives it: the next
     * page of the same origin, or another one that is open, sends it with the same ids. Several pages may share one.
     */
    outbox?: "memory" | "indexeddb" | OutboxStore;
    /** The name of the database in IndexedDB; default "penstock". One server and one user each want their own. */
    outboxName?: string;
    /** Messages that may wait for their answer; publish() rejects with code "overloaded" beyond. */
    maxPending?: number;
    maxPendingBytes?: number;
    /** Default true: when the page hides, `sendBeacon` takes up to 64 KB of what has no answer yet. */
    beacon?: boolean;
    /** Of the messages that wait, how many may be on their way at once. */
    maxInFlight?: number;
    /** Milliseconds before the first and at most before any attempt to reconnect. */
    backoff?: { min?: number; max?: number };
    /** Milliseconds until an attempt without a session is given up, the wait for its token included; default 15000. */
    openTimeout?: number;
    /** Milliseconds that a silent server has to answer a ping before the connection counts as dead. */
    pongTimeout?: number;
    /** For runtimes without a global WebSocket. */
    WebSocket?: new (url: string, protocols: string[]) => unknown;
}

/** A message as a store keeps it: nothing in it is the store's business, but for what the store adds itself. */
export interface StoredMessage {
    encoding: "json" | "msgpack";
    stream: string;
    ack: AckLevel;
    isRepeatable: boolean;
    pieces: (string | Uint8Array)[];
}

/**
 * An outbox of one's own, where there is no IndexedDB. Everything here must be owned by one client at a time. When
 * open() or adopt() rejects, an "error" event says so (code "io"), and the client goes on without what was kept.
 */
export interface OutboxStore {
    /** What was kept, oldest first, and the producer's name that it was published under. */
    open(): Promise<{ producer?: string; records: StoredMessage[] }>;
    /** Keeps a message; the object itself is its name for remove(). */
    put(record: StoredMessage): void;
    remove(record: StoredMessage): void;
    /** Now and then: what others have left that are gone, if it is not more than `room` messages. */
    adopt?(room: number): Promise<StoredMessage[]>;
    /** The page may be going: write what was not written. */
    flush?(): void;
    close?(): void;
}

export interface Welcome {
    session: string;
    node: string;
    version: string;
    limits: { message_bytes: number; events: number; channels: number };
    heartbeat_s: number;
    epoch: string;
    offset: number;
}

/** One session on a channel. */
export interface Member {
    session: string;
    /** Empty where sessions have no tokens. */
    user: string;
    /** Milliseconds since 1970. */
    joined: number;
}

export interface Presence {
    /** All who are there. */
    count: number;
    /** As many of them as one message has room for, in no order. */
    members: Member[];
}

export interface Ack {
    id: number;
    level: "durable" | "committed";
    /** Events stored, or (duplicates) stored before. */
    count: number;
    duplicates: number;
    /** Of the first event stored; with "committed". */
    offset?: number;
}

export interface StreamEvent<Row = Record<string, unknown>> {
    offset: number;
    stream: string;
    data: Row;
}

/** Events that this client will not get: re-read the table. Without from/to the history is another one. */
export interface Gap {
    channel: string;
    from?: number;
    to?: number;
    reason?: string;
}

export interface StateChange {
    state: State;
    attempt?: number;
    /** Milliseconds until the next attempt, with "waiting". */
    delay?: number;
    /** Why the last session ended, with "waiting". */
    code?: number;
    reason?: string;
    session?: string;
}

export interface SubscribeOptions<Row = Record<string, unknown>> {
    /** Continue behind this offset of this epoch. */
    since?: number;
    epoch?: string;
    /** Begin with so many recent events. */
    last?: number;
    /**
     * Continue where the page before was, if it was here: sessionStorage (reloads of this tab) or localStorage (the
     * next visit). Counts more than `since` and `last`.
     */
    remember?: Pick<Storage, "getItem" | "setItem">;
    /** Skip what does not come through in time, for the newest event; `onSkip` hears how many those were. */
    latestOnly?: boolean;
    onSkip?: (count: number) => void;
    onEvent?: (event: StreamEvent<Row>) => void;
    onGap?: (gap: Gap) => void;
    /** What somebody broadcasts on the channel; `session` is the sender's, as in its `welcome`. */
    onBroadcast?: (data: unknown, session: string) => void;
    /** Where presence is on for the channel: others that come and go. After a lost connection, ask for presence() anew. */
    onJoined?: (member: Member) => void;
    onLeft?: (member: Member) => void;
    /** Events that may wait for an iterator's reader; then the channel is left until half of them are read. Default 1000. */
    buffer?: number;
}

export interface Subscription<Row = Record<string, unknown>> extends AsyncIterable<StreamEvent<Row>> {
    readonly channel: string;
    /**
     * Where a later subscription would continue, with `epoch`. An iterator's event counts as handled when the next one
     * is asked for.
     */
    readonly offset: number | null;
    readonly epoch: string | null;
    /** Events that `latestOnly` has skipped so far. */
    readonly skipped: number;
    /** Events that wait for the iterator's reader; never more than `buffer`. */
    readonly buffered: number;
    /**
     * The first answer of the server; rejects when the subscription ends before it. When the server ends it later, the
     * iterator throws; where there is only a callback, an "error" event with the `channel` says so.
     */
    readonly ready: Promise<{ offset: number; epoch: string; recovered: boolean; reason?: string }>;
    /** Leaves the channel; an iterator ends when what waits for it is read. */
    close(): void;
}

export class PenstockError extends Error {
    /** A word of the protocol, or "closed", or "not_connected". */
    code: string;
    id?: number;
    index?: number;
    field?: string;
    retryAfter?: number;
    /** With "rejected_by_database": every event that the database refused, and the ack of the others. */
    rejected?: { index: number; code: string; message: string }[];
    ack?: Ack;
    /** With an "error" event about a message that a page before has published: its stream. */
    stream?: string;
    /** Of the subscription that has ended with it. */
    channel?: string;
}

export interface Penstock {
    readonly state: State;
    /** Of the session that is open; null without one. */
    readonly welcome: Welcome | null;
    /** The first `welcome`; rejects when the client is closed before it. */
    readonly opened: Promise<Welcome>;
    /** Messages published and not answered yet. */
    readonly pending: number;
    /**
     * Resolves with the server's answer, however many connections that takes; with null when `ack` is "none", as soon
     * as the message is on its way. An array over the server's limits goes as several messages.
     */
    publish<Row extends object>(stream: string, events: Row | Row[],
        options?: { ack?: AckLevel; idField?: string | null }): Promise<Ack | null>;
    /** With `onEvent` events go there; without, `for await` reads them. One subscription a channel at a time. */
    subscribe<Row = Record<string, unknown>>(channel: string, options?: SubscribeOptions<Row>,
        onEvent?: (event: StreamEvent<Row>) => void): Subscription<Row>;
    /**
     * To all subscribers of the channel, stored nowhere. Rejects with code "not_connected" while there is no session,
     * and with "too_large" when the server does not take so much.
     */
    broadcast(channel: string, data: unknown): Promise<void>;
    /** Rejects with code "unsupported" where presence is not on for the channel. */
    presence(channel: string): Promise<Presence>;
    /** Returns what undoes it. */
    on(event: "state", listener: (change: StateChange) => void): () => void;
    /** What no promise tells. When the server does not understand the client (code "malformed"), the client is closed. */
    on(event: "error", listener: (error: PenstockError) => void): () => void;
    on(event: "gap", listener: (gap: Gap) => void): () => void;
    /** Ends everything: what has no answer is rejected with code "closed" (and stays in an outbox in IndexedDB).
     *  A code or reason that sockets refuse is left out. */
    close(code?: number, reason?: string): void;
}

/** Connects, and keeps connected until close(). Without `url`, to the host that the page came from. */
export function connect(url?: string | URL, options?: Options): Penstock;

/** A time-ordered id (RFC 9562), ascending within this module. */
export function uuidv7(now?: number): string;
