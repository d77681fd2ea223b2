// Speaks to an MCP server with one of the TypeScript SDKs: `node mcp_client.mjs <node_modules> <v1|v2> <url> <key>`.
// Says on stdout what came of it, as one JSON object per line.
import { pathToFileURL } from "node:url";

const [modules, version, url, key] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(`${modules}/@modelcontextprotocol/${path}`).href);
const say = (what) => console.log(JSON.stringify(what));

let Client, StreamableHTTPClientTransport, options, onList;
if (version === "v1") {
  ({ Client } = await load("sdk/dist/esm/client/index.js"));
  ({ StreamableHTTPClientTransport } = await load("sdk/dist/esm/client/streamableHttp.js"));
  options = { capabilities: { elicitation: { url: {} } } };
} else {
  ({ Client, StreamableHTTPClientTransport } = await load("client/dist/index.mjs"));
  options = { capabilities: { elicitation: { url: {} } }, versionNegotiation: { mode: "auto" } };
}
const changed = new Promise((resolve) => (onList = resolve));
options.listChanged = { tools: { onChanged: (_error, tools) => onList(tools) } };

const client = new Client({ name: "a client of another make", version: "1" }, options);
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { authorization: `Bearer ${key}` } },
});
if (version === "v2") {
  client.setRequestHandler("elicitation/create", async (request) => {
    say({ asked: request.params });
    return { action: "decline" };
  });
}
await client.connect(transport);
say({ connected: client.getServerVersion(), capabilities: client.getServerCapabilities() });

const call = (name, args, more) =>
  version === "v1"
    ? client.callTool({ name, arguments: args }, undefined, more)
    : client.callTool({ name, arguments: args }, more);

const { tools } = await client.listTools();
say({ tools: tools.map((tool) => tool.name) });
say({ added: await call("toolbox__add", { a: 20, b: 22 }) });
const heard = [];
await call("toolbox__count", { to: 3 }, { onprogress: (told) => heard.push(told.progress) });
say({ heard });

const giving_up = new AbortController();
const slow = call("toolbox__slow", { seconds: 60 }, { signal: giving_up.signal });
setTimeout(() => giving_up.abort(), 500);
say({ gave_up: await slow.then(() => null, (error) => String(error)) });

try {
  say({ unconnected: await call("notes__add_note", { text: "hello" }) });
} catch (error) {
  say({ refused: { code: error.code, data: error.data } });
}

say({ waiting: true });
say({ changed: (await changed).map((tool) => tool.name) });
await client.close();
