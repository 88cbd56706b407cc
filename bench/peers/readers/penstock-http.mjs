// Penstock over HTTP: pages of a channel's history, from the offset before the first wanted event.
const { PENSTOCK_PORT, SINCE } = process.env;

export async function open() {
  return {
    async last(user, count) {
      const rows = [];
      const channel = encodeURIComponent(`user:${user}`);
      for (let since = SINCE, more = true; more;) {
        const answer = await fetch(
          `http://127.0.0.1:${PENSTOCK_PORT}/v1/channels/${channel}/events?since=${since}&limit=1000`);
        if (!answer.ok) {
          throw new Error(`${answer.status}: ${await answer.text()}`);
        }
        const page = await answer.json();
        for (const event of page.events) {
          rows.push(event.data);
        }
        since = page.offset;
        more = page.more && rows.length < count;
      }
      return rows;
    },
    close() {},
  };
}
