// An authorization server nobody here wrote (npm oidc-provider), set up as strictly as MCP asks:
// PKCE, dynamic registration, rotating refresh tokens, resource indicators. It signs in "ada" by itself.
// DOCUMENTS: "read" makes clients known by their metadata documents instead of registration; "guarded" too, but
// its own guard stays on, which fetches nothing from loopback. AUTH_METHODS: how clients may prove themselves.
import http from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.NODE_MODULES_ENTRY);
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));
const port = Number(process.env.PORT);
const issuer = `http://127.0.0.1:${port}`;
const resource = process.env.RESOURCE;
const documents = process.env.DOCUMENTS;
const unguarded = (url, { dispatcher: _guard, ...options }) => globalThis.fetch(url, options);

const provider = new Provider(issuer, {
  clients: JSON.parse(process.env.CLIENTS ?? "[]"),
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: !documents },
    ...(documents && { clientIdMetadataDocument: { enabled: true, ack: "draft-02" } }),
    revocation: { enabled: true },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "notes", accessTokenTTL: Number(process.env.TOKEN_TTL ?? 3600), accessTokenFormat: process.env.TOKEN_FORMAT ?? "opaque" }),
    },
  },
  scopes: ["openid", "offline_access", "notes"],
  // Its own refuses loopback, where the tests publish their keys.
  fetch: documents === "guarded" ? globalThis.fetch : unguarded,
  extraTokenClaims: () => JSON.parse(process.env.CLAIMS ?? "{}"),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  clientDefaults: { grant_types: ["authorization_code", "refresh_token"] },
  clientAuthMethods: (process.env.AUTH_METHODS ?? "none client_secret_post client_secret_basic private_key_jwt").split(" "),
  cookies: { keys: ["test"] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
});

const callback = provider.callback();
http
  .createServer(async (req, res) => {
    if (!req.url.startsWith("/interaction/")) return callback(req, res);
    const { prompt, params, session } = await provider.interactionDetails(req, res);
    if (prompt.name === "login") {
      return provider.interactionFinished(req, res, { login: { accountId: "ada" } });
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope("openid offline_access notes");
    grant.addResourceScope(resource, "notes");
    return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
  })
  .listen(port, "127.0.0.1", () => console.log("ready"));
