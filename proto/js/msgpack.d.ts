/** An extension value of a type that this module does not know. */
export class Extension {
    constructor(type: number, data: Uint8Array);
    type: number;
    data: Uint8Array;
}

/** A value as MessagePack bytes. Object fields that are undefined are left out, as in JSON. */
export function encodeMsgpack(value: unknown): Uint8Array;

/** The one value that these bytes are. Throws RangeError or TypeError when they are none. */
export function decodeMsgpack(bytes: Uint8Array): unknown;
