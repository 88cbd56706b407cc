/*
 * main.js - the live page: publish into a stream, watch what is committed come back.
 *
 * Events arrive faster than a page can draw, so callbacks only count and remember; one frame of the
 * screen at a time, draw() shows what changed since the last.
 */
import { connect, uuidv7 } from "/penstock.js";
import { RatePlot } from "/plot.js";
import { askToken, fetchHere, heldToken, isAsking, isUserToken, onToken } from "/token.js";
import { channelsOf, idFieldOf, sampleEvent, whenAbsent } from "/sample.js";

const LIST_MAX = 60; // events shown
const ERRORS_MAX = 8;
const LATENCIES_MAX = 1000; // of the newest events
const AWAITED_MAX = 50000; // events sent whose return is timed
const MANY_TICK_MS = 40;

const element = (id) => document.getElementById(id);
const plot = new RatePlot(element("plot"));

const state = {
    streams: [],
    stream: null,
    client: null,
    subscription: null,
    counts: { sent: 0, acked: 0, received: 0, refused: 0 },
    sentAt: new Map(), // event id -> when it was sent
    latencies: [],
    arrived: [], // events that the list has not shown yet, oldest first
    errors: new Map(), // code and message -> how often
    many: null,
    isPaused: false,
};

// ---- the connection -----------------------------------------------------------------------------

function describeState({ state: name, delay, code, reason }) {
    if (name !== "waiting") {
        return name === "open" ? "connected" : name;
    }
    const why = reason || (code && code !== 1006 ? `closed with ${code}` : "no connection");
    return `${why}, again in ${(delay / 1000).toFixed(1)} s`;
}

/** Without a connection: `name` is one of its states, `text` is what is shown of it. */
function closeConnection(name, text) {
    const client = state.client;
    state.client = state.subscription = null;
    stopMany();
    client?.close();
    element("state").dataset.state = name;
    element("state").textContent = text;
    element("watching").textContent = "";
}

function openConnection() {
    const token = heldToken();
    if (isAsking()) {
        return;
    }
    if (token !== undefined && !isUserToken(token)) {
        closeConnection("waiting", "figures only");
        showProblem("The password of metrics_token_file shows the server's figures. To publish and watch, use a JSON Web Token.");
        return;
    }
    state.client?.close();
    const client = connect(undefined, { encoding: element("encoding").value, token });
    state.client = client;
    client.on("state", (change) => {
        if (client !== state.client) {
            return; // its last words
        }
        element("state").dataset.state = change.state;
        element("state").textContent = describeState(change);
        element("node").textContent = client.welcome ? `${client.welcome.node} · ${client.welcome.version}` : "";
    });
    client.on("error", (error) => {
        if (error.code === "unauthorized" && client === state.client) {
            askToken(`Refused: ${error.message}.`);
        } else {
            showError(error);
        }
    });
    watch(element("channel").value);
}

// ---- what comes back ----------------------------------------------------------------------------

function watch(channel) {
    state.subscription?.close();
    state.subscription = null;
    if (channel === "" || !state.client) {
        return;
    }
    const subscription = state.client.subscribe(channel, { onGap: (gap) => state.arrived.push({ gap }) }, receive);
    state.subscription = subscription;
    subscription.ready.then(
        ({ offset }) => (element("watching").textContent = `${channel} from ${offset.toLocaleString("en")}`),
        (error) => {
            if (error.code !== "closed") {
                showError(error);
            }
        });
}

function receive(event) {
    state.counts.received++;
    plot.add("received", 1);
    const id = state.stream && event.data[idFieldOf(state.stream)];
    const sentAt = state.sentAt.get(id);
    if (sentAt !== undefined) {
        state.sentAt.delete(id);
        event.delay = performance.now() - sentAt;
        state.latencies[state.counts.received % LATENCIES_MAX] = event.delay;
    }
    if (!state.isPaused) {
        state.arrived.push(event);
        if (state.arrived.length > LIST_MAX) {
            state.arrived.shift();
        }
    }
}

function span(className, text) {
    const made = document.createElement("span");
    made.className = className;
    made.textContent = text;
    return made;
}

/** MessagePack brings numbers that JSON.stringify refuses; a picture of them is enough here. */
function plainJson(value, indent) {
    return JSON.stringify(value, (_, item) => (typeof item === "bigint" ? Number(item) : item), indent);
}

/** JSON with its names, strings and other values in colours. Text nodes only: data is never markup. */
function coloured(value) {
    const made = document.createDocumentFragment();
    const text = plainJson(value, 2);
    const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)/g;
    let last = 0;
    for (const match of text.matchAll(token)) {
        made.append(text.slice(last, match.index));
        const kind = match[2] ? "n" : match[1] ? "s" : "v";
        made.append(span(kind, match[1] ?? match[3]), match[2] ?? "");
        last = match.index + match[0].length;
    }
    made.append(text.slice(last));
    return made;
}

/** An event in one line: no id, and of other ids only the beginning. */
function preview(event) {
    const made = span("data", "");
    const idField = state.streams.map((each) => each.stream === event.stream && idFieldOf(each)).find(Boolean);
    for (const [name, value] of Object.entries(event.data).filter(([each]) => each !== idField).slice(0, 12)) {
        const text = typeof value === "string" ? value : plainJson(value);
        const label = document.createElement("i");
        const shown = document.createElement("b");
        label.textContent = name;
        shown.textContent = /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text) ? `${text.slice(0, 4)}…${text.slice(-4)}` : text.slice(0, 200);
        made.append(label, shown);
    }
    return made;
}

function eventItem(event) {
    const item = document.createElement("li");
    if (event.gap) {
        const { from, to, reason } = event.gap;
        item.append(span("gap", from ? `events ${from} to ${to} are past: read the table` : `history restarts: ${reason}`));
        return item;
    }
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.append(span("offset", event.offset), span("stream", event.stream), preview(event),
        span("delay", event.delay === undefined ? "" : milliseconds(event.delay)));
    details.append(summary);
    details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) {
            const pre = document.createElement("pre");
            pre.append(coloured(event.data));
            details.append(pre);
        }
    });
    item.append(details);
    return item;
}

function drawEvents() {
    if (state.arrived.length === 0) {
        return;
    }
    const list = element("events");
    const items = state.arrived.splice(0).reverse().map(eventItem);
    if (items.length <= 3) { // more than that at a time would only flicker
        items.forEach((item) => item.classList.add("new"));
    }
    list.prepend(...items);
    while (list.children.length > LIST_MAX) {
        list.lastChild.remove();
    }
    element("empty").hidden = true;
}

// ---- publishing ---------------------------------------------------------------------------------

function readEvent() {
    try {
        const event = JSON.parse(element("event").value);
        if (event === null || typeof event !== "object" || Array.isArray(event)) {
            throw new SyntaxError("an event is one JSON object");
        }
        showProblem(null);
        return event;
    } catch (error) {
        showProblem(error.message);
        return null;
    }
}

function publish(event, copies) {
    const idField = idFieldOf(state.stream);
    const events = Array.from({ length: copies }, () => (idField && event[idField] === undefined
        ? { [idField]: uuidv7(), ...event } : event));
    const ack = element("ack").value;
    const now = performance.now();
    for (const each of idField ? events : []) {
        state.sentAt.set(each[idField], now);
    }
    for (const id of state.sentAt.keys()) { // the oldest first
        if (state.sentAt.size <= AWAITED_MAX) {
            break;
        }
        state.sentAt.delete(id);
    }
    state.counts.sent += copies;
    plot.add("sent", copies);
    return state.client.publish(state.stream.stream, events, { ack, idField: null }).then(
        (answer) => {
            state.counts.acked += answer ? answer.count : 0;
        },
        (error) => {
            if (error.code !== "closed") {
                state.counts.acked += error.ack?.count ?? 0;
                state.counts.refused += error.rejected?.length ?? copies;
                showError(error);
                throw error;
            }
        });
}

async function sendOne() {
    const event = readEvent();
    if (event && state.stream && state.client) {
        await publish(event, 1).catch((error) => showProblem(sentence(error)));
    }
}

function stopMany() {
    clearInterval(state.many?.timer);
    state.many = null;
    element("many").textContent = "Send many";
    element("many").classList.remove("running");
    element("progress").hidden = true;
}

/** Sends what is due since the start; a page that was held up catches up, as far as answers come. */
function tickMany() {
    const { event, total, rate, batch, startedAt } = state.many;
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * rate));
    while (state.many && state.many.sent < due && state.client.pending < 1000) {
        const copies = Math.min(batch, due - state.many.sent);
        state.many.sent += copies;
        publish(event, copies).catch(stopMany); // the same event would only be refused again
    }
    if (state.many) {
        element("progress").value = state.many.sent / total;
        if (state.many.sent >= total) {
            stopMany();
        }
    }
}

function sendMany() {
    if (state.many) {
        stopMany();
        return;
    }
    const event = readEvent();
    const [total, rate, batch] = ["count", "rate", "batch"].map((id) => Math.max(1, element(id).valueAsNumber || 1));
    if (event && state.stream && state.client) {
        state.many = { event, total, rate, batch, sent: 0, startedAt: performance.now(), timer: setInterval(tickMany, MANY_TICK_MS) };
        element("many").textContent = "Stop";
        element("many").classList.add("running");
        element("progress").hidden = false;
    }
}

// ---- the stream that is picked ------------------------------------------------------------------

function pickStream() {
    state.stream = state.streams.find(({ stream }) => stream === element("stream").value) ?? null;
    if (!state.stream) {
        return;
    }
    stopMany();
    element("table").textContent = state.stream.table;
    showFields();
    freshEvent();
    const own = `stream:${state.stream.stream}`;
    const channels = channelsOf(state.stream, readEvent());
    element("channels").replaceChildren(...channels.map((channel) => new Option(channel)));
    element("channel").value = channels.includes(own) ? own : channels[0] ?? "";
    watch(element("channel").value);
    showCode();
}

function freshEvent() {
    if (state.stream) {
        element("event").value = JSON.stringify(sampleEvent(state.stream), null, 2);
        showProblem(null);
        showCode();
    }
}

function showFields() {
    const rows = state.stream.fields.map((field) => {
        const row = document.createElement("tr");
        for (const text of [field.name, field.type, whenAbsent(field)]) {
            row.insertCell().textContent = text;
        }
        row.lastChild.classList.toggle("required", field.required);
        return row;
    });
    element("fields").tBodies[0].replaceChildren(...rows);
}

function showCode() {
    const event = element("event").value.replace(/\n/g, "\n    ");
    element("code").textContent = `import { connect } from "./penstock.js"; // proto/js

const penstock = connect("${location.origin}");
penstock.subscribe("${element("channel").value || "…"}", {},
    (event) => console.log(event.offset, event.data));

await penstock.publish("${state.stream?.stream ?? "…"}",
    ${event},
    { ack: "${element("ack").value}" });`;
}

// ---- what is shown ------------------------------------------------------------------------------

function sentence({ code, message, field, index }) {
    const where = field ? `${field}: ` : index > 0 ? `event ${index}: ` : "";
    return `${code}: ${where}${message}`;
}

function showProblem(text) {
    element("problem").hidden = text === null;
    element("problem").textContent = text ?? "";
    element("event").classList.toggle("wrong", text !== null);
}

function showError(error) {
    const text = sentence(error);
    const times = (state.errors.get(text)?.times ?? 0) + 1;
    state.errors.delete(text);
    state.errors.set(text, { error, times });
    while (state.errors.size > ERRORS_MAX) {
        state.errors.delete(state.errors.keys().next().value);
    }
    state.errorsChanged = true;
}

function drawErrors() {
    if (!state.errorsChanged) {
        return;
    }
    state.errorsChanged = false;
    const items = [...state.errors].reverse().map(([text, { error, times }]) => {
        const item = document.createElement("li");
        const code = document.createElement("code");
        code.textContent = error.code;
        item.append(code, span("", text.slice(error.code.length + 2)), span("times", times > 1 ? `× ${times}` : ""));
        return item;
    });
    element("errors").replaceChildren(...items);
    element("trouble").hidden = items.length === 0;
}

function milliseconds(value) {
    return value < 10 ? `${value.toFixed(1)} ms` : value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(0)} s`;
}

function drawFigures() {
    for (const [name, count] of Object.entries(state.counts)) {
        const text = count.toLocaleString("en");
        if (element(name).textContent !== text) {
            element(name).textContent = text;
        }
    }
    element("refused").classList.toggle("bad", state.counts.refused > 0);
    const sorted = Object.values(state.latencies).sort((a, b) => a - b);
    if (sorted.length > 0) {
        element("latency").textContent = milliseconds(sorted[sorted.length >> 1]);
        element("slowest").textContent = milliseconds(sorted[Math.floor(sorted.length * 0.99)]);
    }
}

let figuresDrawnAt = 0;
function draw(now) {
    drawEvents();
    drawErrors();
    if (now - figuresDrawnAt > 100) {
        figuresDrawnAt = now;
        drawFigures();
    }
    plot.draw();
    requestAnimationFrame(draw);
}

// ---- the start ----------------------------------------------------------------------------------

async function loadStreams() {
    try {
        state.streams = await (await fetchHere("/v1/streams")).json();
    } catch (error) {
        if (isAsking()) {
            return; // the prompt says it; with a token it begins anew
        }
        showError({ code: "unavailable", message: `${error.message}; trying again` });
        setTimeout(loadStreams, 2000);
        return;
    }
    element("stream").replaceChildren(...state.streams.map(({ stream }) => new Option(stream)));
    if (state.streams.length === 0) {
        showProblem(heldToken() ? "This token allows to publish to no stream."
            : "No stream is configured: name one in the configuration file.");
    }
    pickStream();
    if (!state.client) {
        openConnection(); // not before: now it is known whether the server asks for a token
    }
}

/** Another token: who it is may have changed, and what may be seen. null: it was refused. */
function changeToken(token) {
    showProblem(null);
    if (token === null) {
        closeConnection("closed", "no token");
    } else {
        closeConnection("connecting", "connecting");
        loadStreams();
    }
}

element("send").addEventListener("click", sendOne);
element("fresh").addEventListener("click", freshEvent);
element("many").addEventListener("click", sendMany);
element("stream").addEventListener("change", pickStream);
element("encoding").addEventListener("change", openConnection);
element("event").addEventListener("input", showCode);
element("ack").addEventListener("change", showCode);
element("event").addEventListener("keydown", (key) => {
    if (key.key === "Enter" && (key.ctrlKey || key.metaKey)) {
        key.preventDefault();
        sendOne();
    }
});
element("watch").addEventListener("submit", (submit) => {
    submit.preventDefault();
    watch(element("channel").value.trim());
    showCode();
});
element("pause").addEventListener("click", () => {
    state.isPaused = !state.isPaused;
    element("pause").setAttribute("aria-pressed", state.isPaused);
    element("pause").textContent = state.isPaused ? "Go on" : "Pause";
});
element("clear").addEventListener("click", () => {
    state.errors.clear();
    state.errorsChanged = true;
});

onToken(changeToken);
loadStreams();
requestAnimationFrame(draw);
