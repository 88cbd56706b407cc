/*
 * token.js - the token that this page shows to a server which asks for one.
 *
 * It lives in sessionStorage: this tab's, until it is closed. It goes out in two ways only, in the header
 * of this page's own requests and in the socket's `auth`; never in an address. A token that the server
 * refuses, or that has expired, is forgotten at once, and the prompt says why it is asked for again.
 */
const PLACE = "penstock.token";

const element = (id) => document.getElementById(id);
const listeners = []; // called when there is another token, and with null when it was refused

/** The token, or undefined. */
export function heldToken() {
    return sessionStorage.getItem(PLACE) ?? undefined;
}

/** A JSON Web Token, which the socket takes as well; else it can only be the password for operators. */
export function isUserToken(token) {
    return token.split(".").length === 3;
}

export function onToken(listener) {
    listeners.push(listener);
}

function show() {
    element("forget").hidden = heldToken() === undefined;
    element("token-form").hidden = !isAsking();
}

let asking = null; // the reason, as text; null: nobody is asked
export function isAsking() {
    return asking !== null;
}

/** Forgets the token, and asks for another. Several who were refused at once are one question. */
export function askToken(reason) {
    sessionStorage.removeItem(PLACE);
    const isNew = !isAsking();
    asking = reason;
    element("token-reason").textContent = reason;
    show();
    if (isNew) {
        listeners.forEach((listener) => listener(null));
        element("token").focus();
    }
}

/** fetch() from this server, with the token. 401 asks for one; any refusal is an Error with its `status`. */
export async function fetchHere(path, signal) {
    const token = heldToken();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(path, { headers, cache: "no-store", signal });
    if (answer.ok) {
        return answer;
    }
    const said = await answer.json().then(({ message }) => message, () => null);
    const error = new Error(said ?? `${path} answers ${answer.status}`);
    error.status = answer.status;
    if (answer.status === 401 && token === heldToken()) { // else another has come meanwhile
        askToken(token ? `Refused: ${said}.` : "This server asks for a token.");
    }
    throw error;
}

element("token-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    const given = element("token").value.trim();
    element("token").value = "";
    if (given === "") {
        return;
    }
    if (!/^[\x21-\x7e]+$/.test(given)) {
        element("token-reason").textContent = "A token has no blanks, and no other characters than ASCII's.";
        return;
    }
    sessionStorage.setItem(PLACE, given);
    asking = null;
    show();
    listeners.forEach((listener) => listener(given));
});

/** What was seen with it is forgotten, too: the page begins anew. */
element("forget").addEventListener("click", () => {
    sessionStorage.removeItem(PLACE);
    location.reload();
});

show();
