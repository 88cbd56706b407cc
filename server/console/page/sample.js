/*
 * sample.js - an event to begin with, made from what the server says of a stream's fields.
 *
 * Fields that may be absent are left out, unless they show what the stream is for. Names that the
 * example tables use get values that their foreign keys accept (deploy/examples.sql).
 */
import { uuidv7 } from "/penstock.js";

const USERS = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`);
const PROJECTS = ["a1", "a2"].map((n) => `00000000-0000-4000-8000-0000000000${n}`);
const GROUP = "00000000-0000-4000-8000-0000000000b1";

function any(list) {
    return list[Math.floor(Math.random() * list.length)];
}

function between(least, most) {
    return least + Math.floor(Math.random() * (most - least + 1));
}

/* By name: what an event of the example streams would say. */
const BY_NAME = {
    userId: () => any(USERS),
    ownerId: () => any(USERS),
    projectId: () => any(PROJECTS),
    groupId: () => GROUP,
    eventType: () => any(["page_view", "video_play", "video_pause", "quiz_submit", "search"]),
    action: () => any(["task_completed", "drawing_uploaded", "comment_added", "status_changed"]),
    category: () => any(["material", "labour", "equipment", "transport"]),
    amount: () => between(100, 90000) * 1000,
    queryText: () => "SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at",
    recommendation: () => "CREATE INDEX ON orders (customer_id, created_at)",
    performanceGain: () => between(10, 95),
    confidence: () => between(60, 99),
    metadata: () => ({ page: any(["/", "/lessons/12", "/groups"]), seconds: between(1, 240), device: "phone" }),
    content: () => ({ text: any(["Xin chào cả nhà 👋", "Ai học bài 12 chưa?", "See you at 7 pm"]), likes: between(0, 40) }),
    details: () => ({ task: `T-${between(100, 999)}`, progress: between(1, 100) }),
};

/* By type, for everybody else's tables. The first that matches. */
const BY_TYPE = [
    [/\[\]$/, () => []],
    [/^vector\((\d+)\)/, (match) => Array.from({ length: Number(match[1]) }, () => Math.round(Math.random() * 1e4) / 1e4)],
    [/^uuid/, () => uuidv7()],
    [/^jsonb?/, () => ({ hello: "world" })],
    [/^bool/, () => true],
    [/^(smallint|integer|bigint)/, () => between(1, 100)],
    [/^(numeric|real|double)/, () => between(100, 9999) / 100],
    [/^timestamp/, () => new Date().toISOString()],
    [/^date/, () => new Date().toISOString().slice(0, 10)],
    [/^time/, () => new Date().toISOString().slice(11, 19)],
    [/^interval/, () => "1 day"],
    [/^(inet|cidr)/, () => "192.0.2.1"],
    [/^bytea/, () => "\\x00ff"],
    [/^character(?: varying)?\((\d+)\)/, (match) => "hello".slice(0, Number(match[1]))],
    [/./, () => "hello"],
];

function valueOf(field) {
    if (field.labels) {
        return any(field.labels);
    }
    if (field.name in BY_NAME) {
        return BY_NAME[field.name]();
    }
    for (const [pattern, make] of BY_TYPE) {
        const match = field.type.match(pattern);
        if (match) {
            return make(match);
        }
    }
    return null;
}

/** One event of this stream. */
export function sampleEvent(stream) {
    const event = {};
    for (const field of stream.fields) {
        const shows = field.name in BY_NAME && !("default" in field);
        if (field.required || (shows && !field.made)) {
            event[field.name] = valueOf(field);
        }
    }
    return event;
}

/** The field that the client fills with an id, or null. */
export function idFieldOf(stream) {
    return stream.fields.find((field) => field.made === "uuid")?.name ?? null;
}

/** What an absent field becomes, in words. */
export function whenAbsent(field) {
    if (field.required) {
        return "required";
    }
    if (field.made) {
        return field.made === "uuid" ? "an id is made" : `the ${field.made}`;
    }
    return "default" in field ? JSON.stringify(field.default) : "null";
}

/** Channels that events of this stream go to, with the placeholders filled from `event`. */
export function channelsOf(stream, event) {
    const filled = stream.channels.map((template) => {
        const missing = [...template.matchAll(/\{([^}]+)\}/g)].some(([, name]) => event?.[name] == null);
        return missing ? null : template.replace(/\{([^}]+)\}/g, (_, name) => event[name]);
    });
    return filled.filter((channel) => channel !== null);
}
