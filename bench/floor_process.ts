/** A bare Bun.serve that only takes and gives what a PDS would, of the same size: what no server on Bun gets below. */
const SMALL = JSON.stringify({ value: "x".repeat(400) });
const PAGE = JSON.stringify({ records: "x".repeat(42_000) });
const CAR = new Uint8Array(3_000_000);
const JSON_TYPE = { headers: { "content-type": "application/json" } };

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  routes: {
    "/small": () => new Response(SMALL, JSON_TYPE),
    "/page": () => new Response(PAGE, JSON_TYPE),
    "/car": () => new Response(CAR),
    "/write": async (request) => {
      await request.json();
      return new Response(SMALL, JSON_TYPE);
    },
  },
});
console.log(server.port);
