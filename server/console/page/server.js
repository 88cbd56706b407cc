/*
 * server.js - the server at a glance, from its /metrics: asked every two seconds while it is shown.
 *
 * Rates are those of the last ten seconds, percentiles those of the last five minutes: histograms only
 * count up, so what fell into each bucket since then is a difference. When a counter goes back, the
 * server has been started anew, and so is the memory of this page.
 */
import { RatePlot } from "/plot.js";
import { fetchHere, isAsking, onToken } from "/token.js";

const EVERY_MS = 2000;
const LOOK_MS = 10000; // for all answers of one look
const PLOT_MS = 500;
const RATE_MS = 10000;
const SPAN_MS = 300000;
const REFUSALS_MAX = 12;
const CHANNELS_MAX = 10;

const LATENCIES = [
    ["receive_to_journal_seconds", "received → durable"],
    ["journal_to_commit_seconds", "durable → committed"],
    ["commit_to_push_seconds", "committed → pushed"],
];

const element = (id) => document.getElementById(id);
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

// ---- reading ------------------------------------------------------------------------------------

/** {name without "penstock_": [{labels, value}]} of the text format that Prometheus reads. */
export function parseMetrics(text) {
    const families = {};
    for (const [, name, labels, value] of text.matchAll(/^penstock_(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
        const named = Object.fromEntries([...(labels ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, key, word]) => [key, word]));
        (families[name] ??= []).push({ labels: named, value: Number(value) });
    }
    return families;
}

const sum = (series = []) => series.reduce((total, { value }) => total + value, 0);
const most = (series = []) => series.reduce((highest, { value }) => Math.max(highest, value), 0);
const of = (series = [], label, word) => series.find(({ labels }) => labels[label] === word)?.value ?? 0;

/** Seconds below which this share of what was counted lies; null when nothing was. */
export function quantile(share, bounds, counts) {
    const total = counts.at(-1);
    if (!total) {
        return null;
    }
    const at = counts.findIndex((count) => count >= share * total);
    const [low, below] = at === 0 ? [0, 0] : [bounds[at - 1], counts[at - 1]];
    const high = Number.isFinite(bounds[at]) ? bounds[at] : low;
    return low + ((high - low) * (share * total - below)) / (counts[at] - below);
}

// ---- remembering --------------------------------------------------------------------------------

const samples = []; // oldest first

function remember(families) {
    const sample = {
        at: performance.now(),
        received: sum(families.stream_received_total),
        pushed: sum(families.edge_events_pushed_total),
        streams: Object.fromEntries((families.stream_received_total ?? []).map(({ labels, value }) => [labels.stream, value])),
        buckets: Object.fromEntries(LATENCIES.map(([name]) => [name, (families[`${name}_bucket`] ?? []).map(({ value }) => value)])),
    };
    if (samples.length > 0 && sample.received < samples.at(-1).received) {
        samples.length = 0;
    }
    samples.push(sample);
    while (samples[0].at < sample.at - SPAN_MS) {
        samples.shift();
    }
    return sample;
}

/** The difference of one figure, a second. */
function rate(now, pick) {
    const before = samples.find(({ at }) => at >= now.at - RATE_MS);
    return before === now ? 0 : (pick(now) - pick(before)) / ((now.at - before.at) / 1000);
}

// ---- showing ------------------------------------------------------------------------------------

function seconds(value) {
    if (!value) {
        return value === null ? "–" : "0 ms";
    }
    return value < 0.01 ? `${(value * 1000).toFixed(1)} ms` : value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

const share = (part, whole) => (whole ? part / whole : 0);
const percent = (value) => `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;

function showFigure(id, text, isBad = false) {
    element(id).textContent = text;
    element(id).classList.toggle("bad", isBad);
}

/** Fills a table: each cell a text, or {text, bad}. */
function showRows(id, rows) {
    element(id).tBodies[0].replaceChildren(...rows.map((cells) => {
        const row = document.createElement("tr");
        for (const cell of cells) {
            const made = row.insertCell();
            made.textContent = cell?.text ?? cell;
            made.classList.toggle("bad", Boolean(cell?.bad));
        }
        return row;
    }));
}

function showLatencies(now, families) {
    const before = samples[0];
    showRows("server-latencies", LATENCIES.map(([name, title]) => {
        const bounds = (families[`${name}_bucket`] ?? []).map(({ labels }) => (labels.le === "+Inf" ? Infinity : Number(labels.le)));
        // The first look has nothing to compare with: it shows all since the start.
        const counts = now.buckets[name].map((count, at) => count - (before === now ? 0 : before.buckets[name][at]));
        return [title, ...[0.5, 0.99, 0.999].map((each) => seconds(quantile(each, bounds, counts))), compact.format(counts.at(-1) ?? 0)];
    }));
}

function showLanes(families) {
    showRows("server-lanes", (families.lane_database_ready ?? []).map(({ labels: { lane }, value }) => {
        const fill = share(of(families.lane_journal_used_bytes, "lane", lane), of(families.lane_journal_quota_bytes, "lane", lane));
        const lag = of(families.lane_lag_seconds, "lane", lane);
        return [`lane ${lane}`, value ? "connected" : { text: "not connected", bad: true }, { text: seconds(lag), bad: lag > 10 },
            compact.format(of(families.publisher_pending_events, "lane", lane)), { text: percent(fill), bad: fill > 0.8 }];
    }));
}

function showStreams(now, families) {
    showRows("server-streams", Object.keys(now.streams).map((stream) => {
        const count = (name) => of(families[`stream_${name}`], "stream", stream);
        const letters = count("dead_lettered_total");
        return [count("available") ? stream : { text: `${stream} (unavailable)`, bad: true },
            compact.format(rate(now, ({ streams }) => streams[stream] ?? 0)),
            ...["committed_total", "duplicates_total", "pending_events", "refused_total"].map((name) => compact.format(count(name))),
            { text: compact.format(letters), bad: letters > 0 }];
    }));
}

function showServer(families) {
    const now = remember(families);
    const fill = most((families.lane_journal_used_bytes ?? []).map(({ labels, value }) =>
        ({ value: share(value, of(families.lane_journal_quota_bytes, "lane", labels.lane)) })));
    const lag = most(families.lane_lag_seconds);
    showFigure("server-received", compact.format(rate(now, ({ received }) => received)));
    showFigure("server-pushed", compact.format(rate(now, ({ pushed }) => pushed)));
    showFigure("server-connections", compact.format(sum(families.edge_connections)));
    showFigure("server-lag", seconds(lag), lag > 10);
    showFigure("server-journal", percent(fill), fill > 0.8);
    showFigure("server-listening", sum(families.listening) ? "yes" : "no", !sum(families.listening));
    showLatencies(now, families);
    showLanes(families);
    showStreams(now, families);
}

function showRefusals(refusals) {
    refusals.sort((a, b) => b.at_ms - a.at_ms);
    showRows("server-refusals", refusals.slice(0, REFUSALS_MAX).map(({ at_ms, code, stream, field, reason }) =>
        [new Date(at_ms).toLocaleTimeString(), { text: code, bad: true }, stream, field, reason]));
    element("server-refused").hidden = refusals.length === 0;
}

function spanOf(length) {
    return length < 90 ? `the last ${length} seconds` : `the last ${Math.round(length / 60)} minutes`;
}

/** Where a channel shared its place in the server's table, its count lies between two numbers. */
function eventsOf({ events, events_most: most }) {
    return most > events ? `${compact.format(events)} – ${compact.format(most)}` : compact.format(events);
}

function showChannels({ channels, seconds: length }) {
    showRows("server-channels", channels.slice(0, CHANNELS_MAX).map((each) =>
        [each.channel, eventsOf(each), compact.format(each.events / Math.max(length, 1)), compact.format(each.subscribers)]));
    element("server-busy-span").textContent = spanOf(length);
    element("server-busy").hidden = channels.length === 0;
}

// ---- the plot -----------------------------------------------------------------------------------

const plot = new RatePlot(element("server-plot"));

/** Figures come every two seconds; the plot wants a little of them at a time. */
function feedPlot() {
    const [before, now] = samples.slice(-2);
    if (isShown() && now && performance.now() - now.at < 2 * EVERY_MS) {
        const part = PLOT_MS / (now.at - before.at);
        plot.add("sent", (now.received - before.received) * part);
        plot.add("received", (now.pushed - before.pushed) * part);
    }
}

function draw() {
    if (isShown()) {
        plot.draw();
        requestAnimationFrame(draw);
    }
}

// ---- asking -------------------------------------------------------------------------------------

let isLooking = false;
let isForbidden = false; // with this token: asking again every two seconds would not help

function showTrouble(error) {
    const isOver = isAsking() || isForbidden;
    element("server-problem").textContent = isOver ? `${error.message}.` : `${error.message}; trying again`;
    element("server-problem").hidden = isAsking(); // the prompt says it
}

/** One at a time: answers that overtake each other would look like a server that was started anew. */
async function look() {
    isLooking = true;
    const signal = AbortSignal.timeout(LOOK_MS);
    try {
        const families = parseMetrics(await (await fetchHere("/metrics", signal)).text());
        showServer(families);
        if (sum(families.operator_pages)) {
            showChannels(await (await fetchHere("/v1/channels", signal)).json());
            showRefusals((await (await fetchHere("/v1/refusals", signal)).json()).refusals);
        }
        element("server-problem").hidden = true;
    } catch (error) {
        isForbidden = error.status === 403;
        showTrouble(signal.aborted ? new Error("the server does not answer") : error);
    } finally {
        isLooking = false;
    }
}

function lookAgain() {
    if (isShown() && !document.hidden && !isLooking && !isAsking() && !isForbidden) {
        look();
    }
}

/** Whether the server's part is shown: by the address, so that it can be kept as a bookmark. */
function isShown() {
    return location.hash === "#server";
}

function turn() {
    document.body.dataset.view = isShown() ? "server" : "try";
    for (const link of document.querySelectorAll("nav a")) {
        link.toggleAttribute("aria-current", link.hash === (isShown() ? "#server" : "#try"));
    }
    lookAgain();
    draw();
}

addEventListener("hashchange", turn);
setInterval(feedPlot, PLOT_MS);
setInterval(lookAgain, EVERY_MS);
onToken((token) => {
    isForbidden = false;
    if (token !== null) {
        lookAgain();
    }
});
turn();
