// try.mjs WRITER: can it be loaded, and does it connect? Some want a newer Node than a release of Debian has.
const writer = await (await import(`./writers/${process.argv[2]}.mjs`)).open();
await writer.close();
