/*
 * beacon.js - what has no answer yet, handed to the browser when the page hides.
 *
 * A page that is hidden may be gone the next moment, with everything that its socket had not sent. A beacon is a
 * request that the browser sends on its own, without headers of ours and without an answer for us: events go as JSON
 * in text/plain, which needs no preflight from another origin, and a token goes in the address. A browser has 64 KB
 * under way at once for all of a page's beacons (Fetch, "http-network-or-cache fetch", inflight keepalive bytes).
 *
 * Nothing counts as sent: a page that lives on, or the next one with the same outbox, sends the same events again,
 * with the same ids, and the table has them once.
 */
const BEACON_BYTES = 65536;

const utf8 = new TextEncoder();

/**
 * Sends what fits, oldest first, one request a stream. Answers the messages that were taken whole. `post(stream, body)`
 * says whether the browser has taken the request.
 */
export function flushByBeacon(messages, codec, post, bytesMax = BEACON_BYTES) {
    const taken = [];
    let room = Math.min(bytesMax, BEACON_BYTES);
    for (const stream of new Set(messages.map((message) => message.stream))) {
        const load = loadOf(messages.filter((message) => message.stream === stream), codec, room);
        const events = load.events.length;
        let count = events;
        while (count > 0 && !post(stream, `[${load.events.slice(0, count).join(",")}]`)) {
            count = Math.floor(count / 2); // others of this page have beacons under way
        }
        if (count > 0) {
            room -= load.bytes;
        }
        if (count > 0 && count === events) {
            taken.push(...load.whole);
        }
    }
    return taken;
}

/** The events that fit, as JSON, and which messages are in there whole. */
function loadOf(messages, codec, room) {
    const load = { events: [], bytes: 2, whole: [] };
    for (const message of messages) {
        for (const piece of message.pieces) {
            const text = codec.toJson(piece);
            const bytes = text === null ? 0 : utf8.encode(text).length + 1;
            if (load.bytes + bytes > room) {
                return load;
            }
            if (text !== null) {
                load.events.push(text);
                load.bytes += bytes;
            }
        }
        load.whole.push(message);
    }
    return load;
}
