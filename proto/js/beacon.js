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
 *
 * The server takes or refuses a request as a whole, so one invalid event in it is the end of the others. Requests that
 * are under way together may overtake each other. So who has no outbox that outlives the page, for whom this is the last
 * chance, sends up to REQUESTS_MAX of them, and others one, which keeps the order.
 */
const BEACON_BYTES = 65536;
const REQUESTS_MAX = 16;

const utf8 = new TextEncoder();

/**
 * Sends what fits, oldest first, in at most `requestsMax` requests a stream (more where `eventsMax` asks for it).
 * Answers the messages that were taken whole. `post(stream, body)` says whether the browser has taken the request.
 */
export function flushByBeacon(messages, codec, post,
    { bytesMax = BEACON_BYTES, eventsMax = Infinity, requestsMax = REQUESTS_MAX } = {}) {
    const taken = [];
    let room = Math.min(bytesMax, BEACON_BYTES);
    for (const stream of new Set(messages.map((message) => message.stream))) {
        const own = messages.filter((message) => message.stream === stream);
        for (const group of groupsOf(own, Math.ceil(own.length / requestsMax), eventsMax)) {
            const load = loadOf(group, codec, room, eventsMax);
            const count = postMost(load.events, (body) => post(stream, body));
            if (count > 0) {
                room -= load.bytes;
            }
            if (count > 0 && count === load.events.length) {
                taken.push(...load.whole);
            }
        }
    }
    return taken;
}

/** Posts as many of the events as the browser takes, and answers how many: others of this page may have beacons
 * under way. */
function postMost(events, post) {
    let count = events.length;
    while (count > 0 && !post(`[${events.slice(0, count).join(",")}]`)) {
        count = Math.floor(count / 2);
    }
    return count;
}

/** Messages that go together: at most `count`, and with more than `eventsMax` events only a message alone. */
function groupsOf(messages, count, eventsMax) {
    const groups = [];
    let events = 0;
    for (const message of messages) {
        const group = groups.at(-1);
        events += message.pieces.length;
        if (group && group.length < count && events <= eventsMax) {
            group.push(message);
        } else {
            groups.push([message]);
            events = message.pieces.length;
        }
    }
    return groups;
}

/** The events that fit, as JSON, and which messages are in there whole. */
function loadOf(messages, codec, room, eventsMax) {
    const load = { events: [], bytes: 2, whole: [] };
    for (const message of messages) {
        for (const piece of message.pieces) {
            const text = codec.toJson(piece);
            const bytes = text === null ? 0 : utf8.encode(text).length + 1;
            if (load.bytes + bytes > room || load.events.length === eventsMax) {
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
