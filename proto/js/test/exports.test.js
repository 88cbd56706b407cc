/*
 * exports.test.js - the modules and their type declarations speak of the same things.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import * as msgpack from "../msgpack.js";
import * as penstock from "../penstock.js";
import { fakeWebSocket } from "./fake_socket.js";

const folder = new URL("..", import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), "utf8");

/** The body of an interface or class in a declaration file. */
function declared(text, name) {
    const [, body] = new RegExp(`export (?:interface|class) ${name}\\b[^{]*\\{\\n(.*?)\\n\\}`, "s").exec(text);
    const members = [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??[:(<]/gm)].map(([, member]) => member);
    return new Set(members.filter((member) => member !== "constructor"));
}

/** What an object of a class shows to others. */
function shown(object) {
    const names = [...Object.getOwnPropertyNames(Object.getPrototypeOf(object)), ...Object.keys(object)];
    return new Set(names.filter((name) => name !== "constructor" && !name.startsWith("_")));
}

/** Every value that a module exports is declared, and the other way round. */
test("declarations name exactly what is exported", () => {
    for (const [file, module] of [["penstock.d.ts", penstock], ["msgpack.d.ts", msgpack]]) {
        const names = [...read(file).matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name);
        assert.deepEqual(new Set(names), new Set(Object.keys(module)), file);
    }
});

/** So does every member of a client and of a subscription, and every option has a default or a declaration. */
test("declarations name exactly the members", () => {
    const client = penstock.connect("http://localhost", { WebSocket: fakeWebSocket() });
    const subscription = client.subscribe("c");
    const text = read("penstock.d.ts");
    assert.deepEqual(declared(text, "Penstock"), shown(client));
    assert.deepEqual(declared(text, "Subscription"), shown(subscription));
    client.close();
    const [, defaults] = /const DEFAULTS = \{\n(.*?)\n\};/s.exec(read("penstock.js"));
    const options = [...defaults.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => name);
    assert.deepEqual(new Set(options), declared(text, "Options"));
});

/** Each of the public functions has a sentence above it, in the module and in the declarations. */
test("everything public is explained", () => {
    const methods = read("penstock.js").matchAll(/(\*\/)?\n {4}(?:async |get )?([a-z]\w+)\([^\n]*\) \{\n/g);
    const bare = [...methods].filter(([, comment, name]) => !comment && !/^(constructor|if|for|while)$/.test(name));
    assert.deepEqual(bare.map(([, , name]) => name), []);
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".js"))) {
        assert.match(read(file), new RegExp(`^/\\*\\n \\* ${file} - `), file);
        assert.ok(!/[^/]\n(?:\n)*export function/.test(read(file).replaceAll("*/\nexport", "*//\nexport")), file);
    }
});
