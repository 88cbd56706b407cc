/*
 * plot.js - two rates over the last minute, drawn on a canvas.
 *
 * Counts go into buckets of half a second; the plot moves smoothly because the newest bucket is
 * drawn where its time is, not where its index is.
 */
const BUCKET_MS = 500;
const SPAN_MS = 60000;
const BUCKETS = SPAN_MS / BUCKET_MS + 2;
const NAMES = ["sent", "received"];

/** 1, 2 or 5 times a power of ten, at least `value`: where an axis may end. */
function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

export class RatePlot {
    #canvas;
    #counts = { sent: new Float64Array(BUCKETS), received: new Float64Array(BUCKETS) };
    #newest = Math.floor(performance.now() / BUCKET_MS);
    #top = 10;

    constructor(canvas) {
        this.#canvas = canvas;
    }

    add(name, count) {
        this.#catchUp();
        this.#counts[name][this.#newest % BUCKETS] += count;
    }

    /** Empties the buckets of the time in which nothing happened. */
    #catchUp() {
        const now = Math.floor(performance.now() / BUCKET_MS);
        for (let left = Math.min(now - this.#newest, BUCKETS); left > 0; left--) {
            NAMES.forEach((name) => (this.#counts[name][(now - left + 1) % BUCKETS] = 0));
        }
        this.#newest = now;
    }

    /** Events a second of the bucket that ended `age` buckets ago. */
    #rate(name, age) {
        return this.#counts[name][(this.#newest - age + BUCKETS * 2) % BUCKETS] * (1000 / BUCKET_MS);
    }

    draw() {
        this.#catchUp();
        const { clientWidth: width, clientHeight: height } = this.#canvas;
        const scale = globalThis.devicePixelRatio || 1;
        if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
            this.#canvas.width = Math.round(width * scale);
            this.#canvas.height = Math.round(height * scale);
        }
        const context = this.#canvas.getContext("2d");
        context.setTransform(scale, 0, 0, scale, 0, 0);
        context.clearRect(0, 0, width, height);
        const colours = getComputedStyle(this.#canvas);
        const area = { left: 44, right: width - 4, top: 8, bottom: height - 20 };
        this.#follow();
        this.#drawAxes(context, area, colours);
        NAMES.forEach((name) => this.#drawRate(context, area, name, colours.getPropertyValue(`--${name}`)));
    }

    /** The axis grows at once and shrinks slowly, so that it does not jump about. */
    #follow() {
        let highest = 0;
        for (let age = 1; age < BUCKETS - 1; age++) {
            NAMES.forEach((name) => (highest = Math.max(highest, this.#rate(name, age))));
        }
        const wanted = Math.max(10, roundUp(highest * 1.05));
        this.#top = wanted > this.#top ? wanted : Math.max(wanted, this.#top * 0.96);
    }

    #drawAxes(context, area, colours) {
        context.font = `11px ${colours.fontFamily}`;
        context.fillStyle = colours.getPropertyValue("--faint");
        context.strokeStyle = colours.getPropertyValue("--line");
        context.lineWidth = 1;
        const format = new Intl.NumberFormat("en", { notation: "compact" });
        for (let step = 0; step <= 4; step++) {
            const y = Math.round(area.bottom - ((area.bottom - area.top) * step) / 4) + 0.5;
            context.beginPath();
            context.moveTo(area.left, y);
            context.lineTo(area.right, y);
            context.stroke();
            if (step % 2 === 0) {
                context.textAlign = "right";
                context.fillText(format.format((this.#top * step) / 4), area.left - 8, y + 3.5);
            }
        }
        context.textAlign = "left";
        context.fillText("60 s ago", area.left, area.bottom + 15);
        context.textAlign = "right";
        context.fillText("now", area.right, area.bottom + 15);
    }

    #drawRate(context, area, name, colour) {
        const phase = (performance.now() % BUCKET_MS) / BUCKET_MS;
        const width = area.right - area.left;
        const x = (age) => area.right - ((age - 1 + phase) * BUCKET_MS * width) / SPAN_MS;
        const y = (age) => area.bottom - (Math.min(this.#rate(name, age), this.#top) / this.#top) * (area.bottom - area.top);
        context.save();
        context.beginPath();
        context.rect(area.left, 0, width, area.bottom + 1);
        context.clip();
        context.beginPath();
        context.moveTo(x(1), y(1));
        for (let age = 2; age < BUCKETS; age++) {
            const middle = (x(age - 1) + x(age)) / 2; // a soft step from one bucket to the next
            context.bezierCurveTo(middle, y(age - 1), middle, y(age), x(age), y(age));
        }
        context.strokeStyle = colour;
        context.lineWidth = 2;
        context.lineJoin = "round";
        context.stroke();
        if (name === "received") { // two fills over each other would be mud
            context.lineTo(x(BUCKETS - 1), area.bottom);
            context.lineTo(x(1), area.bottom);
            context.globalAlpha = 0.14;
            context.fillStyle = colour;
            context.fill();
        }
        context.restore();
    }
}
