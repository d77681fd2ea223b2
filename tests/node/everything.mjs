// Starts the reference "everything" server over Streamable HTTP on a loopback port and prints that port.
// Arguments: the server's module, the port (0: a free one). The server itself would listen everywhere.
import http from "node:http";
import { pathToFileURL } from "node:url";

const [module, port] = process.argv.slice(2);
const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (_port, ready) {
  return listen.call(this, Number(port), "127.0.0.1", () => {
    console.log(`listening ${this.address().port}`);
    ready?.();
  });
};
await import(pathToFileURL(module).href);
